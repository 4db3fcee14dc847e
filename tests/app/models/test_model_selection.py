"""Which model a request gets: by name and version, by weight, or the default; and the error if there is none."""

import asyncio
import base64
import json

import pytest

from app.models.version_draw import draw_version
from tests.app.models.scripted_models import (
    FIRST,
    OTHER,
    SECOND,
    Fleet,
    admin_request,
    answering_model,
    answering_model_for_id,
    count_answers,
    load_model,
    queue_job,
    serving_fleet,
    wait_for_job,
)
from tests.app.running_service import code, until, value, wav

BOTH = {FIRST: 75.0, SECOND: 25.0}
WEIGHTED = f"{FIRST}=75,{SECOND}=25,{OTHER}=10"


async def test_a_version_is_got_by_its_name_whatever_it_weighs() -> None:
    async with serving_fleet(Fleet(FIRST, SECOND, OTHER), models=f"{SECOND}=0,{OTHER}") as site:
        assert [await answering_model(site, model=id_) for id_ in (FIRST, SECOND, OTHER, "other")] == [
            FIRST,
            SECOND,
            OTHER,
            OTHER,
        ]
        assert await count_answers(site, 20, model="test-model") == {FIRST: 20}


async def test_a_bare_name_and_none_are_drawn_by_weight() -> None:
    async with serving_fleet(Fleet(FIRST, SECOND, OTHER), models=WEIGHTED) as site:
        count = 200
        expected = [draw_version(f"tally-{number}", BOTH) for number in range(count)]
        for fields in ({"model": "test-model"}, {}):
            got = await count_answers(site, count, **fields)
            assert got == {id_: expected.count(id_) for id_ in BOTH}
            assert got[SECOND] == pytest.approx(0.25 * count, abs=4 * (count * 0.25 * 0.75) ** 0.5)


async def test_a_key_always_gets_the_same_version() -> None:
    keys = [f"key-{number}" for number in range(12)]
    async with serving_fleet(Fleet(FIRST, SECOND), models=f"{FIRST}=1,{SECOND}=1", auth={"keys": keys}) as site:
        got = {}
        for key in keys:
            headers = {"authorization": f"Bearer {key}"}
            answers = {await answering_model_for_id(site, f"{key}-{number}", headers) for number in range(4)}
            assert len(answers) == 1
            got[key] = answers.pop()
        assert set(got.values()) == {FIRST, SECOND}


async def test_streams_chats_and_jobs_name_the_model_they_got() -> None:
    async with serving_fleet(Fleet(FIRST, SECOND), models=f"{SECOND}=0") as site:
        stream = await site.post(stream="true", model=SECOND)
        data = [line.removeprefix("data: ") for line in stream.text.splitlines() if line.startswith("data: {")]
        assert {json.loads(one)["model"] for one in data} == {SECOND}
        recording = {"data": base64.b64encode(wav()).decode(), "format": "wav"}
        part = {"type": "input_audio", "input_audio": recording}
        body = {"model": SECOND, "messages": [{"role": "user", "content": [part]}]}
        chat = (await site.client.post("/v1/chat/completions", json=body)).json()
        assert (chat["model"], chat["speechsum"]["model"]) == (SECOND, SECOND)
        streamed = await site.client.post("/v1/chat/completions", json={**body, "stream": True})
        chunks = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: {")]
        assert {one["model"] for one in chunks} == {SECOND}
        assert (await wait_for_job(site, await queue_job(site, model=SECOND)))["summary"]["model"] == SECOND


async def test_what_is_not_loaded_is_refused_by_reason() -> None:
    async with serving_fleet(Fleet(FIRST, SECOND, OTHER), models=f"{OTHER}=0") as site:
        assert code(await site.post(model="nobody")) == (404, "model_not_found")
        assert code(await site.post(model="test-model@9")) == (404, "model_not_found")
        weightless = await site.post(model="other")
        assert code(weightless) == (404, "model_not_loaded")
        assert "weight 0" in weightless.json()["error"]["message"]
        assert (await admin_request(site, "DELETE", f"/{OTHER}")).status_code == 202
        await until(lambda: site.service.models.by_id[OTHER].state == "unloaded")
        assert code(await site.post(model=OTHER)) == (404, "model_not_loaded")
        await site.until_idle()


async def test_a_version_that_dies_leaves_the_name_to_the_others() -> None:
    fleet = Fleet(FIRST, SECOND, OTHER)
    async with serving_fleet(fleet, models=f"{FIRST}=50,{SECOND}=50,{OTHER}") as site:
        fleet.engines[SECOND].die()
        assert await count_answers(site, 20) == {FIRST: 20}
        assert code(await site.post(model=SECOND)) == (503, "engine_dead")
        for path in ("/livez", "/readyz"):
            assert (await site.client.get(path)).status_code == 200
        shown = {one["id"]: one for one in (await admin_request(site, "GET")).json()["data"]}
        assert (shown[SECOND]["state"], shown[FIRST]["share"]) == ("failed", 1.0)
        assert "died" in shown[SECOND]["why"]
        fleet.engines[FIRST].die()
        assert code(await site.post()) == (503, "engine_dead")
        assert code(await site.client.get("/livez")) == (503, "engine_dead")
        assert await answering_model(site, model="other") == OTHER, "what lives still answers"


async def test_ready_is_the_default_and_others_are_told_that_theirs_loads() -> None:
    fleet = Fleet(FIRST, OTHER)
    fleet.engines[OTHER].may_start.clear()
    async with serving_fleet(fleet) as site:
        assert (await admin_request(site, "POST", model="other")).status_code == 202
        refused = await site.post(model="other")
        assert code(refused) == (503, "not_ready")
        assert refused.headers["retry-after"]
        assert (await site.client.get("/readyz")).status_code == 200
        assert await answering_model(site) == FIRST


async def test_all_loaded_models_are_listed_with_their_state() -> None:
    fleet = Fleet(FIRST, SECOND, OTHER)
    async with serving_fleet(fleet, models=SECOND) as site:
        fleet.broken[OTHER] = ValueError("too large")
        await load_model(site, model="other")
        data = (await site.client.get("/v1/models?all=true")).json()["data"]
        assert {one["id"]: (one["loaded"], one["state"]) for one in data} == {
            FIRST: (True, "ready"),
            SECOND: (True, "ready"),
            OTHER: (False, "failed"),
        }


async def test_requests_are_counted_by_the_model_they_got() -> None:
    async with serving_fleet(Fleet(FIRST, SECOND), models=f"{SECOND}=0") as site:
        before = {id_: value("speechsum_requests_total", outcome="ok", model=id_) for id_ in (FIRST, SECOND)}
        refused = value("speechsum_requests_total", outcome="refused", model="")
        await asyncio.gather(site.post(model=SECOND), site.post(model=SECOND), site.post(), site.post(style="poem"))
        await site.until_idle()
        after = {id_: value("speechsum_requests_total", outcome="ok", model=id_) for id_ in (FIRST, SECOND)}
        assert {id_: after[id_] - before[id_] for id_ in after} == {FIRST: 1, SECOND: 2}
        assert value("speechsum_requests_total", outcome="refused", model="") == refused + 1
        assert value("speechsum_model_state", model=SECOND, state="ready") == 1
        assert value("speechsum_model_weight", model=SECOND) == 0
        assert value("speechsum_model_requests_in_progress", model=SECOND) == 0
