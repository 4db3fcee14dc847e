"""Models are loaded and unloaded while requests run: no request fails, and a failed load changes nothing."""

import asyncio
from typing import Any

import pytest

from app.core.errors import Unavailable
from app.models.loaded_model import LoadedModel
from tests.app.models.scripted_models import (
    FIRST,
    OTHER,
    SECOND,
    Fleet,
    admin_request,
    answering_model,
    load_model,
    queue_job,
    serving_fleet,
    until_not,
    wait_for_job,
)
from tests.app.running_service import PATH, code, until, value


async def test_a_model_is_loaded_while_requests_stream() -> None:
    fleet = Fleet(FIRST, SECOND)
    async with serving_fleet(fleet) as site:
        fleet.engines[FIRST].may_write.clear()
        streaming = [asyncio.create_task(site.post(stream="true")) for _ in range(4)]
        await until(lambda: site.engine.running_requests == 4)
        response = await admin_request(site, "POST", model=SECOND, weight=10)
        assert (response.status_code, response.json()["state"]) == (202, "loading")
        card = await until_not(site, SECOND, "loading")
        assert (card["state"], card["weight"], card["share"]) == ("ready", 10, pytest.approx(10 / 110))
        assert site.engine.running_requests == 4, "they had not ended meanwhile"
        fleet.engines[FIRST].may_write.set()
        assert all('"audio.summary.done"' in one.text for one in await asyncio.gather(*streaming))
        assert await answering_model(site, model=SECOND) == SECOND


async def test_one_is_loaded_after_another() -> None:
    fleet = Fleet(FIRST, SECOND, OTHER)
    fleet.engines[SECOND].may_start.clear()
    async with serving_fleet(fleet) as site:
        await admin_request(site, "POST", model=SECOND)
        await admin_request(site, "POST", model=OTHER)
        await until(lambda: site.service.models.by_id[SECOND].engine is not None)
        assert site.service.models.by_id[OTHER].engine is None
        fleet.engines[SECOND].may_start.set()
        assert (await until_not(site, SECOND, "loading"))["state"] == "ready"
        assert (await until_not(site, OTHER, "loading"))["state"] == "ready"


@pytest.mark.parametrize("error", [ValueError("secret"), Unavailable("It has no room.", code="engine_failed")])
async def test_what_cannot_be_loaded_says_so_and_changes_nothing(error: Exception) -> None:
    fleet = Fleet(FIRST, SECOND)
    fleet.broken[SECOND] = error
    async with serving_fleet(fleet) as site:
        card = await load_model(site, model=SECOND, weight=1000)
        assert (card["state"], card["share"]) == ("failed", 0)
        assert "secret" not in card["why"]
        assert card["why"]
        assert {await answering_model(site) for _ in range(5)} == {FIRST}
        assert (await site.client.get("/livez")).status_code == 200
        del fleet.broken[SECOND]
        assert (await load_model(site, model=SECOND))["state"] == "ready", "a second try"


async def test_an_engine_that_fails_to_warm_up_is_stopped() -> None:
    fleet = Fleet(FIRST, SECOND)
    fleet.engines[SECOND].error = ZeroDivisionError()
    async with serving_fleet(fleet) as site:
        assert (await load_model(site, model=SECOND))["state"] == "failed"
        assert fleet.engines[SECOND].up is False


async def test_unloading_lets_those_inside_finish_and_nobody_new_in() -> None:
    fleet = Fleet(FIRST, SECOND)
    async with serving_fleet(fleet, models=SECOND) as site:
        engine = fleet.engines[SECOND]
        engine.may_write.clear()
        waiting = asyncio.create_task(site.post(model=SECOND))
        streaming = asyncio.create_task(site.post(stream="true", model=SECOND))
        await until(lambda: engine.running_requests == 2)
        card = (await admin_request(site, "DELETE", f"/{SECOND}")).json()
        assert (card["state"], card["requests"]) == ("draining", 2)
        assert (await admin_request(site, "DELETE", f"/{SECOND}")).status_code == 202, "asked twice"
        assert code(await site.post(model=SECOND)) == (404, "model_not_loaded")
        assert {await answering_model(site) for _ in range(5)} == {FIRST}
        assert engine.up is True
        engine.may_write.set()
        assert (await waiting).json()["summary"].startswith(SECOND)
        assert '"audio.summary.done"' in (await streaming).text
        assert (await until_not(site, SECOND, "draining"))["state"] == "unloaded"
        assert engine.up is False
        assert value("speechsum_model_state", model=SECOND, state="unloaded") == 1
        assert (await load_model(site, model=SECOND))["state"] == "ready", "and back again"
        assert await answering_model(site, model=SECOND) == SECOND


async def test_unloading_waits_for_jobs_that_are_worked_on() -> None:
    fleet = Fleet(FIRST, SECOND)
    async with serving_fleet(fleet, models=SECOND, jobs={"workers": 1}) as site:
        fleet.engines[SECOND].may_write.clear()
        made = await queue_job(site, model=SECOND)
        await until(lambda: fleet.engines[SECOND].running_requests == 1)
        assert (await admin_request(site, "DELETE", f"/{SECOND}")).json()["requests"] == 1
        fleet.engines[SECOND].may_write.set()
        assert (await wait_for_job(site, made))["summary"]["model"] == SECOND
        assert (await until_not(site, SECOND, "draining"))["state"] == "unloaded"


async def test_a_job_whose_model_is_gone_fails_with_the_requests_error() -> None:
    fleet = Fleet(FIRST, SECOND)
    async with serving_fleet(fleet, models=SECOND, jobs={"workers": 1}) as site:
        site.engine.may_write.clear()
        before = await queue_job(site, model=FIRST)
        await until(lambda: site.engine.running_requests == 1)
        made = await queue_job(site, model=SECOND)
        await admin_request(site, "DELETE", f"/{SECOND}")
        site.engine.may_write.set()
        assert (await wait_for_job(site, before))["state"] == "succeeded"
        failed = await wait_for_job(site, made)
        direct = (await site.post(model=SECOND)).json()["error"]
        assert (failed["state"], failed["error"]["code"]) == ("failed", "model_not_loaded")
        assert failed["error"] == direct
        result = await site.client.get(f"{PATH}/jobs/{made}/result")
        assert result.status_code == 404


async def test_a_finished_jobs_answer_outlives_its_model() -> None:
    async with serving_fleet(Fleet(FIRST, SECOND), models=SECOND) as site:
        made = await queue_job(site, model=SECOND, response_format="markdown")
        await wait_for_job(site, made)
        await admin_request(site, "DELETE", f"/{SECOND}")
        await until_not(site, SECOND, "draining")
        result = await site.client.get(f"{PATH}/jobs/{made}/result")
        assert (result.status_code, result.headers["x-summary-model"]) == (200, SECOND)


async def test_a_job_waits_for_a_model_that_loads_and_no_try_is_counted() -> None:
    fleet = Fleet(FIRST, SECOND)
    async with serving_fleet(fleet, models=SECOND, jobs={"workers": 0}) as site:
        made = await queue_job(site, model=SECOND)
        kept = site.service.settings.jobs
        fleet.engines[SECOND].may_start.clear()
        again = {"retry_after_seconds": 0.05}
        limits = {"folder": str(kept.folder), "workers": 1, "attempts": 1}
        async with serving_fleet(fleet, wait=False, models=SECOND, jobs=limits, limits=again) as later:
            assert later.service.models.by_id[SECOND].state == "loading"
            await asyncio.sleep(0.3)  # some tries
            assert (await later.client.get(f"{PATH}/jobs/{made}")).json()["state"] in ("queued", "running")
            fleet.engines[SECOND].may_start.set()
            job_ = await wait_for_job(later, made)
            assert (job_["state"], job_["attempts"]) == ("succeeded", 1)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"model": "nobody"}, (404, "model_not_found")),
        ({"model": FIRST}, (409, "model_loaded")),
        ({"model": "spoilt"}, (422, "model_unusable")),
        ({"model": SECOND, "replace": "test-model@9"}, (404, "model_not_loaded")),
        ({"model": SECOND, "weight": -1}, (400, "invalid_field")),
        ({"model": SECOND, "wait": 1}, (400, "invalid_field")),
        ({"model": SECOND, "urls": ["gpu-1"]}, (400, "invalid_field")),
    ],
)
async def test_what_cannot_be_asked_is_refused(body: dict[str, Any], expected: tuple[int, str]) -> None:
    async with serving_fleet(Fleet(FIRST, SECOND)) as site:
        assert code(await admin_request(site, "POST", **body)) == expected
        assert list(site.service.models.by_id) == [FIRST]


async def test_the_last_that_answers_to_the_default_stays() -> None:
    async with serving_fleet(Fleet(FIRST, SECOND, OTHER), models=f"{OTHER},{SECOND}=0") as site:
        assert code(await admin_request(site, "DELETE", f"/{FIRST}")) == (409, "last_model")
        assert code(await admin_request(site, "PATCH", f"/{FIRST}", weight=0)) == (409, "last_model")
        assert (await admin_request(site, "PATCH", f"/{SECOND}", weight=5)).json()["share"] == pytest.approx(5 / 105)
        assert (await admin_request(site, "PATCH", f"/{FIRST}", weight=0)).json()["share"] == 0
        assert await answering_model(site) == SECOND
        assert (await admin_request(site, "DELETE", f"/{FIRST}")).status_code == 202
        assert (await site.client.get("/readyz")).json()["model"] == SECOND


async def test_one_that_is_being_loaded_cannot_be_unloaded_yet() -> None:
    fleet = Fleet(FIRST, SECOND)
    fleet.engines[SECOND].may_start.clear()
    async with serving_fleet(fleet) as site:
        await admin_request(site, "POST", model=SECOND)
        refused = await admin_request(site, "DELETE", f"/{SECOND}")
        assert code(refused) == (409, "model_loading")
        assert refused.headers["retry-after"]
        fleet.engines[SECOND].may_start.set()
        await until_not(site, SECOND, "loading")
        assert (await admin_request(site, "DELETE", f"/{SECOND}")).status_code == 202


async def test_servers_named_by_the_operator_are_those_that_are_looked_at() -> None:
    fleet = Fleet(FIRST, SECOND)
    async with serving_fleet(fleet) as site:
        await load_model(site, model=SECOND, urls=["http://gpu-5:8001/v1"])
        assert fleet.asked[-1] == (SECOND, ["http://gpu-5:8001"])


async def test_a_model_dying_while_it_drains_is_unloaded_all_the_same() -> None:
    fleet = Fleet(FIRST, SECOND)
    async with serving_fleet(fleet, models=SECOND) as site:
        fleet.engines[SECOND].may_write.clear()
        waiting = asyncio.create_task(site.post(model=SECOND))
        await until(lambda: fleet.engines[SECOND].running_requests == 1)
        await admin_request(site, "DELETE", f"/{SECOND}")
        fleet.engines[SECOND].die()
        model: LoadedModel = site.service.models.by_id[SECOND]
        await model.update_state()
        assert model.state == "draining"
        fleet.engines[SECOND].may_write.set()
        assert code(await waiting) == (503, "engine_dead")
        assert (await until_not(site, SECOND, "draining"))["state"] == "unloaded"
