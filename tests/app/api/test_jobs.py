"""Jobs over HTTP: queued, worked on, told, cancelled, and what a service that ends leaves for the next."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from app.engine.scripted import ScriptedEngine
from app.keys.store import KeyStore
from tests.app.jobs.webhook_receiver import SECRET, receiving
from tests.app.running_service import PATH, Site, code, serving, until, value, wav

pytestmark = pytest.mark.asyncio(loop_scope="module")

JOBS = f"{PATH}/jobs"
ANNA = {"keys": ["anna"]}


async def test_a_job_gives_the_answer_that_a_request_gets(shared: Site) -> None:
    direct = (await shared.post(language="de", style="bullets")).json()
    made = await queue_job(shared, language="de", style="bullets")
    assert made["state"] == "queued"
    assert (await shared.client.get(f"{JOBS}/{made['id']}/result")).status_code in (200, 409)
    job = await wait_until_ended(shared, made["id"])
    assert job["state"] == "succeeded"
    assert (job["attempts"], job["progress"], job["error"], job["webhook"]) == (1, None, None, None)
    assert job["created"] <= job["started"] <= job["finished"] < job["expires"]
    assert job["audio_bytes"] == len(wav())
    result = (await shared.client.get(f"{JOBS}/{made['id']}/result")).json()
    assert result == job["summary"]
    same = ("model", "kind", "summary", "finish_reason", "style", "audio", "usage", "windows", "complete")
    assert {name: result[name] for name in same} == {name: direct[name] for name in same}


async def test_where_it_is_stands_in_the_location(shared: Site) -> None:
    response = await post(shared)
    assert response.status_code == 202
    found = await shared.client.get(response.headers["location"])
    assert found.json()["id"] == response.json()["id"]


async def test_a_raw_body_with_fields_in_the_query_is_queued_too(shared: Site) -> None:
    response = await shared.client.post(f"{JOBS}?language=de", content=wav(), headers={"content-type": "audio/wav"})
    job = await wait_until_ended(shared, response.json()["id"])
    assert job["summary"]["style"]["language"] == "de"


async def test_the_result_comes_in_the_format_that_was_asked_for(shared: Site) -> None:
    made = await queue_job(shared, response_format="markdown")
    job = await wait_until_ended(shared, made["id"])
    result = await shared.client.get(f"{JOBS}/{made['id']}/result")
    assert result.headers["content-type"].startswith("text/markdown")
    assert result.text == job["summary"]["summary"]
    assert result.headers["x-summary-complete"] == "true"


@pytest.mark.parametrize(
    ("fields", "status", "what"),
    [
        ({"stream": "true"}, 400, "invalid_field"),
        ({"style": "limerick"}, 400, "invalid_field"),
        ({"colour": "red"}, 400, "unknown_field"),
        ({"model": "nobody"}, 404, "model_not_found"),
        ({"webhook_url": "http://example.org/"}, 400, "webhooks_disabled"),
    ],
)
async def test_what_a_request_could_not_ask_a_job_cannot(
    shared: Site, fields: dict[str, str], status: int, what: str
) -> None:
    before = await shared.jobs.store.page("", None, None, 1)
    assert code(await post(shared, **fields)) == (status, what)
    assert await shared.jobs.store.page("", None, None, 1) == before
    await shared.until_idle()


async def test_what_is_no_recording_is_refused_before_it_is_queued(shared: Site) -> None:
    assert code(await post(shared, b"%PDF-1.4 and so on and on"))[0] == 415


async def test_a_recording_that_cannot_be_used_fails_with_the_requests_own_error(shared: Site) -> None:
    torn = wav()[:30] + b"\0" * 100
    made = await queue_job(shared, torn)
    job = await wait_until_ended(shared, made["id"])
    assert job["state"] == "failed"
    direct = await shared.post(torn)
    result = await shared.client.get(f"{JOBS}/{made['id']}/result")
    assert result.status_code == direct.status_code
    assert result.json()["error"]["code"] == direct.json()["error"]["code"] == job["error"]["code"]


async def test_a_job_that_nobody_queued_is_not_found(shared: Site) -> None:
    for method, path in (("GET", ""), ("GET", "/result"), ("GET", "/events"), ("POST", "/cancel")):
        response = await shared.client.request(method, f"{JOBS}/job-none{path}")
        assert code(response) == (404, "job_not_found"), path


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("limit=0", "invalid_field"),
        ("limit=101", "invalid_field"),
        ("limit=x", "invalid_field"),
        ("state=bored", "invalid_field"),
        ("status=queued", "unknown_field"),
        ("limit=3&offset=20", "unknown_field"),
        ("Limit=3", "unknown_field"),
        ("limit=3&limit=4", "duplicate_field"),
    ],
)
async def test_a_page_that_makes_no_sense_is_refused(shared: Site, query: str, what: str) -> None:
    assert code(await shared.client.get(f"{JOBS}?{query}")) == (400, what)


async def test_what_takes_no_query_refuses_one(shared: Site) -> None:
    made = await queue_job(shared)
    for method, path in (("GET", ""), ("GET", "/result"), ("GET", "/events"), ("POST", "/cancel"), ("DELETE", "")):
        response = await shared.client.request(method, f"{JOBS}/{made['id']}{path}?format=text")
        assert code(response) == (400, "unknown_field"), path
        assert response.json()["error"]["param"] == "format"
    await wait_until_ended(shared, made["id"])


async def test_without_a_key_a_job_is_found_by_its_id_alone(shared: Site) -> None:
    made = await queue_job(shared)
    refused = await shared.client.get(JOBS)
    assert code(refused) == (401, "missing_api_key")
    assert made["id"] not in refused.text
    assert (await wait_until_ended(shared, made["id"]))["state"] == "succeeded"
    ids = {(await queue_job(shared))["id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(len(set(id_)) > 10 and len(id_) == len("job-") + 32 for id_ in ids), "random, and enough of it"
    for id_ in ids:
        await wait_until_ended(shared, id_)


async def test_pages_go_from_the_newest_to_the_oldest() -> None:
    async with serving(auth=ANNA) as site:
        site.client.headers["authorization"] = "Bearer anna"
        assert code(await site.client.get(f"{JOBS}?after=job-none")) == (404, "job_not_found")
        ids = [(await queue_job(site))["id"] for _ in range(5)]
        await asyncio.gather(*(wait_until_ended(site, id_) for id_ in ids))
        first = (await site.client.get(f"{JOBS}?limit=3")).json()
        second = (await site.client.get(f"{JOBS}?limit=3&after={first['last_id']}")).json()
        assert [job["id"] for job in first["data"] + second["data"]] == ids[::-1]
        assert (first["has_more"], second["has_more"]) == (True, False)
        assert all(job["summary"] is None for job in first["data"])
        assert (await site.client.get(f"{JOBS}?state=queued")).json()["data"] == []


async def test_a_job_is_watched_from_the_queue_to_its_summary() -> None:
    async with serving(ScriptedEngine(prefill_s=1.2), jobs={"workers": 1}) as site:
        made = await queue_job(site)
        async with site.client.stream("GET", f"{JOBS}/{made['id']}/events") as response:
            lines = [line async for line in response.aiter_lines() if line.startswith("data: ")]
        assert lines[-1] == "data: [DONE]"
        events = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
        states = [event["state"] for event in events]
        assert states == sorted(states, key=["queued", "running", "succeeded"].index)
        assert states[-1] == "succeeded"
        assert events[-1]["summary"]["summary"]
        assert any(event["progress"] for event in events)


@pytest.mark.parametrize("worked_on", [False, True])
async def test_cancelling_ends_the_work_and_drops_the_recording(worked_on: bool) -> None:
    engine = ScriptedEngine()
    async with serving(engine, jobs={"workers": 1 if worked_on else 0}) as site:
        engine.prefill_s = 30
        made = await queue_job(site)
        if worked_on:
            await until_state(site, made["id"], "running")
        job = (await site.client.post(f"{JOBS}/{made['id']}/cancel")).json()
        assert (job["state"], job["summary"]) == ("cancelled", None)
        await site.until_idle()
        assert list(recordings(site)) == []
        assert (await site.client.post(f"{JOBS}/{made['id']}/cancel")).json()["state"] == "cancelled"
        result = await site.client.get(f"{JOBS}/{made['id']}/result")
        assert code(result) == (409, "job_cancelled")


async def test_the_recording_is_dropped_when_the_job_has_ended(shared: Site) -> None:
    job = await wait_until_ended(shared, (await queue_job(shared))["id"])
    assert job["state"] == "succeeded"
    for _ in range(100):
        if not list(recordings(shared)):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(list(recordings(shared)))


async def test_a_queue_that_is_full_says_when_to_come_again() -> None:
    async with serving(jobs={"workers": 0, "max_waiting": 2}) as site:
        for _ in range(2):
            await queue_job(site)
        response = await post(site)
        assert code(response) == (503, "jobs_full")
        assert int(response.headers["retry-after"]) > 0
        assert len(list(recordings(site))) == 2


@pytest.mark.timing
async def test_somebody_who_waits_goes_before_jobs() -> None:
    engine = ScriptedEngine()
    async with serving(engine, engine={"max_num_seqs": 1}, jobs={"workers": 3}, auth=ANNA) as site:
        site.client.headers["authorization"] = "Bearer anna"
        engine.prefill_s = 0.2
        for _ in range(3):
            await queue_job(site)
        await until(lambda: engine.running_requests == 1 and value("speechsum_queue_waiting") == 2)
        await site.post()
        states = [job["state"] for job in (await site.client.get(JOBS)).json()["data"]]
        assert states.count("running") == 2, states


async def test_a_webhook_tells_of_the_end_and_the_job_says_that_it_did() -> None:
    webhooks = {"secret": SECRET, "private_hosts": ["127.0.0.1"]}
    async with receiving(500) as receiver, serving(webhooks=webhooks | {"delays": [0.01]}) as site:
        made = await queue_job(site, webhook_url=receiver.url)
        assert made["webhook"] == {"url": receiver.url, "state": "waiting", "attempts": 0, "said": None}
        for _ in range(200):
            job = (await site.client.get(f"{JOBS}/{made['id']}")).json()
            if job["webhook"]["state"] == "delivered":
                break
            await asyncio.sleep(0.02)
        assert job["webhook"] == {"url": receiver.url, "state": "delivered", "attempts": 2, "said": "status 200"}
        told: Any = Webhook(SECRET).verify(receiver.got[-1].body, receiver.got[-1].headers)
        assert told["type"] == "audio.summary.job.succeeded"
        assert told["data"]["id"] == made["id"]
        assert told["data"]["summary"] == job["summary"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x",
        "http://",
        "nowhere",
        "http://user:pw@example.org/",
        "http://127.0.0.1:9/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "https://inside.example.org/",
        "https://mixed.example.org/",
        "https://no-such-host.example.org/",
    ],
)
async def test_a_webhook_that_could_not_be_sent_is_refused_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.fetch.connector._getaddrinfo", resolve_name)
    async with serving(webhooks={"secret": SECRET}, jobs={"workers": 0}) as site:
        refused = await post(site, webhook_url=url)
        assert code(refused) == (400, "invalid_field")
        assert refused.json()["error"]["param"] == "webhook_url"
        assert await site.jobs.store.page("", None, None, 1) == []


@pytest.mark.parametrize(
    "url", ["https://outside.example.org/hook", "https://slow-names.example.org/", "http://8.8.8.8/"]
)
async def test_a_webhook_to_a_public_address_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.fetch.connector._getaddrinfo", resolve_name)
    async with serving(webhooks={"secret": SECRET}, jobs={"workers": 0}) as site:
        assert (await queue_job(site, webhook_url=url))["webhook"]["state"] == "waiting"


def resolve_name(host: str) -> list[Any]:
    """What a name server would say."""
    known = {
        "inside.example.org": ["192.168.1.7"],
        "mixed.example.org": ["93.184.216.34", "10.1.2.3"],
        "outside.example.org": ["93.184.216.34"],
        "8.8.8.8": ["8.8.8.8"],
    }
    if host == "slow-names.example.org":
        raise socket.gaierror(socket.EAI_AGAIN, "try again")
    if host not in known:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")
    return [(0, 0, 0, "", (address, 0)) for address in known[host]]


async def test_a_key_with_a_secret_of_its_own_may_ask_for_webhooks() -> None:
    webhooks = {"private_hosts": ["127.0.0.1"]}
    async with receiving() as receiver, serving(webhooks=webhooks, auth={"required": True}) as site:
        keys = KeyStore(site.jobs.database)
        (anna, of_anna), (_, of_bob) = await keys.create("anna"), await keys.create("bob")
        secret = await site.jobs.secrets.rotate(anna.id, 0)
        refused = await post(site, headers={"authorization": f"Bearer {of_bob}"}, webhook_url=receiver.url)
        assert code(refused) == (400, "webhooks_disabled")
        await post(site, headers={"authorization": f"Bearer {of_anna}"}, webhook_url=receiver.url)
        await until(lambda: bool(receiver.got))
        assert Webhook(secret).verify(receiver.got[0].body, receiver.got[0].headers)


async def test_what_a_service_leaves_the_next_one_does(tmp_path: Path) -> None:
    kept = {"folder": str(tmp_path)}
    async with serving(jobs=kept | {"workers": 0}) as site:
        waiting = (await queue_job(site))["id"]
    engine = ScriptedEngine()
    async with serving(engine, jobs=kept | {"workers": 1}) as site:
        assert (await wait_until_ended(site, waiting))["state"] == "succeeded"
        engine.prefill_s = 30
        running = (await queue_job(site))["id"]
        await until_state(site, running, "running")
    async with serving(jobs=kept) as site:
        assert (await wait_until_ended(site, running))["attempts"] == 1, "a service that stopped has not failed"


async def test_keys_see_their_own_jobs_alone() -> None:
    async with serving(auth={"keys": ["anna", "bob"]}) as site:
        anna, bob = ({"authorization": f"Bearer {name}"} for name in ("anna", "bob"))
        made = (await post(site, headers=anna)).json()
        assert code(await site.client.get(f"{JOBS}/{made['id']}")) == (401, "missing_api_key")
        for path in ("", "/result", "/events"):
            response = await site.client.get(f"{JOBS}/{made['id']}{path}", headers=bob)
            assert code(response) == (404, "job_not_found")
        assert code(await site.client.post(f"{JOBS}/{made['id']}/cancel", headers=bob))[0] == 404
        assert (await site.client.get(JOBS, headers=bob)).json()["data"] == []
        assert (await site.client.get(f"{JOBS}/{made['id']}", headers=anna)).status_code == 200


async def test_a_job_under_a_key_is_queued_once() -> None:
    async with serving() as site:
        key = {"idempotency-key": "one"}
        first, again = [await post(site, headers=key, language="de") for _ in range(2)]
        assert first.status_code == again.status_code == 202
        assert again.json() == first.json()
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["location"] == first.headers["location"]
        assert len(await site.jobs.store.page("", None, None, 9)) == 1
        other = await post(site, headers=key, language="fr")
        assert code(other) == (422, "idempotency_key_reused")
        await site.until_idle()


def recordings(site: Site) -> list[Path]:
    folder = site.service.settings.jobs.folder / "recordings"
    return list(folder.iterdir()) if folder.exists() else []


async def post(site: Site, audio: bytes | None = None, headers: dict[str, str] | None = None, **fields: str) -> Any:
    files = {"file": ("recording.wav", wav() if audio is None else audio)}
    return await site.client.post(JOBS, files=files, data=fields, headers=headers)


async def queue_job(site: Site, audio: bytes | None = None, **fields: str) -> Any:
    response = await post(site, audio, **fields)
    assert response.status_code == 202, response.text
    return response.json()


async def wait_until_ended(site: Site, id_: str) -> Any:
    return await until_state(site, id_, "succeeded", "failed", "cancelled")


async def until_state(site: Site, id_: str, *states: str) -> Any:
    for _ in range(500):
        job = (await site.client.get(f"{JOBS}/{id_}")).json()
        if job["state"] in states:
            return job
        await asyncio.sleep(0.02)
    raise AssertionError(job)
