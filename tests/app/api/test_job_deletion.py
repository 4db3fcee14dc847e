"""`DELETE` of a job: nothing of it is left, whatever was going on with it."""

import asyncio
import json

import pytest
from sqlalchemy import select

from app.database.tables import ANSWERS, DELIVERIES, JOBS
from app.engine.scripted import ScriptedEngine
from tests.app.api.test_jobs import JOBS as PATH
from tests.app.api.test_jobs import post, queue_job, recordings, until_state, wait_until_ended
from tests.app.jobs.webhook_receiver import SECRET, receiving
from tests.app.running_service import Site, code, serving


async def rows(site: Site) -> list[object]:
    """All that the database has of jobs."""
    async with site.jobs.database.connect() as connection:
        return [row for table in (JOBS, DELIVERIES, ANSWERS) for row in await connection.execute(select(table))]


@pytest.mark.parametrize("state", ["queued", "running"])
async def test_a_job_that_has_not_ended_is_ended_and_gone(state: str) -> None:
    engine = ScriptedEngine()
    async with serving(engine, jobs={"workers": 1 if state == "running" else 0}) as site:
        engine.prefill_s = 30
        made = await queue_job(site)
        await until_state(site, made["id"], state)
        assert (await site.client.delete(f"{PATH}/{made['id']}")).status_code == 204
        assert recordings(site) == []
        assert await rows(site) == []
        await site.until_idle()
        for response in (
            await site.client.get(f"{PATH}/{made['id']}"),
            await site.client.get(f"{PATH}/{made['id']}/result"),
            await site.client.post(f"{PATH}/{made['id']}/cancel"),
            await site.client.delete(f"{PATH}/{made['id']}"),
        ):
            assert code(response) == (404, "job_not_found")


async def test_a_job_that_has_ended_leaves_nothing_in_the_files() -> None:
    engine = ScriptedEngine(["The matter ", "of Mrs Brandenburg", " was discussed."])
    webhooks = {"secret": SECRET, "private_hosts": ["127.0.0.1"], "delays": [3600]}
    async with receiving(500) as receiver, serving(engine, webhooks=webhooks) as site:
        headers = {"idempotency-key": "brandenburg-1"}
        made = (await post(site, headers=headers, webhook_url=receiver.url, instructions="About Brandenburg.")).json()
        summary = (await wait_until_ended(site, made["id"]))["summary"]["summary"]
        assert "Brandenburg" in summary
        folder = site.service.settings.jobs.folder
        assert b"Brandenburg" in b"".join(file.read_bytes() for file in folder.glob("speechsum.db*"))
        assert (await site.client.delete(f"{PATH}/{made['id']}")).status_code == 204
        assert await rows(site) == []
        left = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
        for trace in (b"Brandenburg", b"brandenburg", made["id"].encode(), receiver.url.encode()):
            assert trace not in left
        again = await post(site, headers=headers, instructions="Another.")
        assert again.status_code == 202, "the key is free again"


async def test_who_watches_is_told_that_it_is_gone() -> None:
    async with serving(jobs={"workers": 0}) as site:
        made = await queue_job(site)
        async with site.client.stream("GET", f"{PATH}/{made['id']}/events") as response:
            events = (line async for line in response.aiter_lines() if line.startswith("data: "))
            assert json.loads((await anext(events)).removeprefix("data: "))["state"] == "queued"
            await site.client.delete(f"{PATH}/{made['id']}")
            assert json.loads((await anext(events)).removeprefix("data: "))["error"]["code"] == "job_not_found"
            assert await anext(events) == "data: [DONE]"


async def test_nobody_deletes_what_is_anothers() -> None:
    async with serving(auth={"keys": ["anna", "bob"]}, jobs={"workers": 0}) as site:
        anna, bob = ({"authorization": f"Bearer {name}"} for name in ("anna", "bob"))
        made = (await post(site, headers=anna)).json()
        assert code(await site.client.delete(f"{PATH}/{made['id']}", headers=bob)) == (404, "job_not_found")
        assert code(await site.client.delete(f"{PATH}/{made['id']}"))[0] == 401
        await asyncio.sleep(0)
        assert (await site.client.get(f"{PATH}/{made['id']}", headers=anna)).json()["state"] == "queued"
