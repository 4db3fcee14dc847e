"""Watching a job as a browser's EventSource does: it connects again after every end until a 204 says not to."""

import asyncio
import json
from typing import Any

import pytest

from app.engine.scripted import ScriptedEngine
from tests.app.api.test_jobs import JOBS, queue_job, wait_until_ended
from tests.app.running_service import Site, serving, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


class EventSource:
    """What a browser's does (WHATWG HTML, 9.2), one connection at a time."""

    def __init__(self, site: Site, id_: str) -> None:
        self.site, self.url = site, f"{JOBS}/{id_}/events"
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self.data: list[str] = []

    async def connect(self) -> int:
        """One connection until its end; its status."""
        headers = {"last-event-id": self.last_event_id} if self.last_event_id else {}
        async with self.site.client.stream("GET", self.url, headers=headers) as response:
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    self.last_event_id = value
                elif name == "retry":
                    self.retry_ms = int(value)
                elif name == "data":
                    self.data.append(value)
            return response.status_code

    def take_jobs(self) -> list[Any]:
        """The jobs that were told since the last call."""
        found, self.data = [json.loads(one) for one in self.data if one != "[DONE]"], []
        return found


async def test_the_end_of_a_job_is_told_once_and_then_the_source_is_closed(shared: Site) -> None:
    made = await queue_job(shared)
    await wait_until_ended(shared, made["id"])
    source = EventSource(shared, made["id"])
    assert await source.connect() == 200
    assert [job["state"] for job in source.take_jobs()] == ["succeeded"]
    assert source.retry_ms is not None
    assert 500 <= source.retry_ms <= 10_000
    assert await source.connect() == 204
    assert source.take_jobs() == []


async def test_who_connects_again_in_the_middle_is_not_told_the_same_again() -> None:
    engine = ScriptedEngine()
    async with serving(engine, jobs={"workers": 0}) as site:
        made = await queue_job(site)
        source = EventSource(site, made["id"])
        for _ in range(2):
            connection = asyncio.create_task(source.connect())
            await until(lambda: bool(source.last_event_id))
            await asyncio.sleep(0.05)
            connection.cancel()
            await asyncio.wait({connection})
        assert [job["state"] for job in source.take_jobs()] == ["queued"]
        await site.client.post(f"{JOBS}/{made['id']}/cancel")
        assert await source.connect() == 200
        assert [job["state"] for job in source.take_jobs()] == ["cancelled"]
        assert await source.connect() == 204


async def test_a_stream_ends_at_once_when_the_service_is_to_stop() -> None:
    async with serving(jobs={"workers": 0}) as site:
        source = EventSource(site, (await queue_job(site))["id"])
        connection = asyncio.create_task(source.connect())
        await until(lambda: bool(source.last_event_id))
        first_retry_ms = source.retry_ms
        site.app.state.stopping.set()
        async with asyncio.timeout(5):
            assert await connection == 200
        assert "[DONE]" not in source.data, "it has not ended, and the source connects again"
        assert first_retry_ms is not None
        assert source.retry_ms is not None
        assert source.retry_ms > first_retry_ms
