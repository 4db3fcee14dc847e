"""A service that stood still, or whose clock was set, neither restarts its own jobs nor runs a repeat twice.

The process is suspended by blocking its event loop, in which all of the service runs, for longer than a lease lasts.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.core.errors import EngineDead, storage_full_error
from app.engine.scripted import ScriptedEngine
from tests.app.api.test_jobs import JOBS, post, queue_job, wait_until_ended
from tests.app.running_service import Site, code, serving, until, wav

LEASE_S = 0.3


def suspend() -> None:
    time.sleep(3 * LEASE_S)


def set_clock_forward(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Sets the wall clock forward by a minute, which is many leases."""
    real = time.time
    return lambda: monkeypatch.setattr(time, "time", lambda: real() + 60)


@pytest.fixture(params=["suspended", "clock set"])
def disturb(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return suspend if request.param == "suspended" else set_clock_forward(monkeypatch)


async def several_beats() -> None:
    await asyncio.sleep(2 * LEASE_S)


async def test_a_job_goes_on_and_is_done_once(disturb: Callable[[], None]) -> None:
    engine = ScriptedEngine()
    async with serving(engine, jobs={"workers": 2, "lease_seconds": LEASE_S, "keep_seconds": 86_400}) as site:
        engine.prefill_s = 2.5
        made = await queue_job(site)
        await until(lambda: engine.running_requests == 1)
        disturb()
        await several_beats()
        engine.prefill_s = 0
        job = await wait_until_ended(site, made["id"])
        assert (job["state"], job["attempts"]) == ("succeeded", 1)
        assert len(engine.requests) == 1


async def test_a_repeat_waits_for_the_first_which_is_still_worked_on(disturb: Callable[[], None]) -> None:
    engine = ScriptedEngine()
    headers = {"idempotency-key": "one"}
    async with serving(engine, jobs={"lease_seconds": LEASE_S, "repeat_seconds": 86_400}) as site:
        engine.prefill_s = 2.5
        first = asyncio.create_task(site.post(headers=headers))
        await until(lambda: engine.running_requests == 1)
        disturb()
        assert code(await site.post(headers=headers)) == (409, "idempotency_in_flight")
        await several_beats()
        assert code(await site.post(headers=headers)) == (409, "idempotency_in_flight")
        answer = await first
        assert answer.status_code == 200
        again = await site.post(headers=headers)
        assert again.content == answer.content
        assert again.headers["idempotent-replayed"] == "true"
        assert len(engine.requests) == 1


async def test_a_job_at_which_everything_fails_is_not_tried_again(site: Site) -> None:
    for error in (RuntimeError("a fault"), RecursionError("too deep"), TimeoutError("too slow"), MemoryError()):
        site.decoder.error = error
        response = await post(site, wav())
        job = await wait_until_ended(site, response.json()["id"])
        assert (job["state"], job["attempts"], job["error"]["code"]) == ("failed", 1, "internal_error")
        result = await site.client.get(f"{JOBS}/{job['id']}/result")
        assert code(result) == (500, "internal_error")


async def test_work_that_is_done_waits_for_a_database_that_is_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    end, refusals = site.jobs.store.finish, [storage_full_error("it", "x"), storage_full_error("it", "x")]

    async def end_later(*args: Any, **named: Any) -> bool:
        if refusals:
            raise refusals.pop()
        return await end(*args, **named)

    monkeypatch.setattr(site.jobs.store, "finish", end_later)
    job = await wait_until_ended(site, (await queue_job(site))["id"])
    assert (job["state"], job["attempts"], refusals) == ("succeeded", 1, [])
    assert len(site.engine.requests) == 1


@pytest.mark.parametrize("attempts", [1, 2])
async def test_a_job_of_which_the_engine_dies_is_not_tried_for_ever(attempts: int) -> None:
    engine = ScriptedEngine()
    async with serving(engine, jobs={"attempts": attempts}) as site:
        engine.error = EngineDead("The engine's process is gone.", code="engine_dead")
        job = await wait_until_ended(site, (await queue_job(site))["id"])
        assert (job["state"], job["attempts"], job["error"]["code"]) == ("failed", attempts, "job_given_up")
        assert len(engine.requests) == attempts
