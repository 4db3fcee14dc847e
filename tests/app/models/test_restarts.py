"""An engine that dies is started again: what callers, jobs and operators notice."""

import asyncio

import pytest

from app.core.errors import Unavailable
from app.engine.scripted_process import ScriptedProcessEngine
from app.models.restart_backoff import HEALTHY_SECONDS, RestartBackoff
from tests.app.api.test_jobs import queue_job, wait_until_ended
from tests.app.models.scripted_models import GatedEngine
from tests.app.running_service import code, serving, until, value


async def test_a_dead_engine_is_started_again_and_meanwhile_callers_are_told_to_come_back() -> None:
    engine = GatedEngine("A ", "summary.")
    async with serving(engine, engine={"restarts": 3}, jobs={"workers": 1}) as site:
        await site.service.models.initial.add_adapter("in-german", None)
        engine.may_write.clear()
        working = asyncio.create_task(site.post())
        job = await queue_job(site)
        await until(lambda: engine.running_requests == 2)
        engine.may_start.clear()
        engine.die()
        engine.may_write.set()
        lost = await working
        assert code(lost) == (503, "engine_dead")
        assert int(lost.headers["retry-after"]) > 0
        assert lost.headers["x-should-retry"] == "true"
        for refused in (await site.post(), await site.client.get("/readyz")):
            assert code(refused) == (503, "not_ready")
            assert int(refused.headers["retry-after"]) > 0
        assert (await site.client.get("/livez")).status_code == 200, "nobody has to restart the service"
        assert (await site.client.get("/startupz")).status_code == 200
        engine.may_start.set()
        await until(lambda: site.service.is_ready)
        assert (await site.client.get("/readyz")).status_code == 200
        assert (await site.post(model="in-german")).status_code == 200, "adapters are loaded again"
        done = await wait_until_ended(site, job["id"])
        assert done["state"] == "succeeded"
        assert value("speechsum_engine_restarts_total", outcome="ok") >= 1


async def test_an_engine_that_does_not_come_back_is_left_to_the_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(GatedEngine):
        starts = 0

        async def start(self) -> None:
            self.starts += 1
            if self.starts > 1:
                raise Unavailable("The device is gone.", code="engine_failed")
            await super().start()

    monkeypatch.setattr("app.models.restart_backoff.MAX_DELAY_SECONDS", 0)
    engine = Broken("A ")
    async with serving(engine, engine={"restarts": 2}) as site:
        engine.die()
        await until(lambda: engine.starts == 3)
        await until(lambda: site.service.models.initial.state == "failed")
        refused = await site.client.get("/livez")
        assert code(refused) == (503, "engine_dead")
        assert "SPEECHSUM_ENGINE__RESTARTS" in refused.json()["error"]["message"]
        assert code(await site.post()) == (503, "engine_dead")


async def test_nobody_has_to_ask_for_the_death_to_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.models.manager.WATCH_SECONDS", 0.01)
    monkeypatch.setattr("app.models.restart_backoff.MAX_DELAY_SECONDS", 0)
    engine = ScriptedProcessEngine()
    async with serving(engine, engine={"restarts": 1}) as site:
        assert engine._core is not None
        first = engine._core.pid
        engine._core.kill()
        await until(lambda: engine._core is not None and engine._core.pid != first and site.service.is_ready)
        assert (await site.post()).status_code == 200


def test_the_delays_grow_and_an_engine_that_lived_long_starts_anew() -> None:
    now = 0.0
    backoff = RestartBackoff(3, now=lambda: now)
    backoff.note_death()
    assert [backoff.next_delay_s() for _ in range(4)] == [1, 2, 4, None]
    backoff.note_start()
    now = HEALTHY_SECONDS - 1
    backoff.note_death()
    assert backoff.next_delay_s() is None
    now += 1
    backoff.note_death()
    assert backoff.next_delay_s() == 1
