"""What Prometheus sees of the queue: how long jobs wait, how they end, which are refused, and a lost database."""

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.jobs import metrics
from app.jobs.metrics import QueueGauges, count_ended
from app.jobs.store import FAILED, SUCCEEDED, JobStore
from tests.app.jobs.job_rows import queue
from tests.app.running_service import PATH, serving, until, value, wav

JOBS_PATH = f"{PATH}/jobs"


@pytest.fixture
def store(database: AsyncEngine) -> JobStore:
    opened = JobStore(database, 60, lambda job: "{}")
    opened.on_finished = count_ended
    return opened


async def test_the_oldest_job_that_waits_gives_the_age(store: JobStore) -> None:
    gauges = QueueGauges(store.database)
    await gauges.refresh()
    assert value("speechsum_jobs_oldest_waiting_seconds") == value("speechsum_jobs", state="queued") == 0
    for age_s in (100, 500, 5):
        await queue(store, created=time.time() - age_s)
    await QueueGauges(store.database).refresh()
    assert 500 <= value("speechsum_jobs_oldest_waiting_seconds") < 510
    job = await store.claim("me")  # the oldest
    assert job is not None
    metrics.observe_wait(job)
    await QueueGauges(store.database).refresh()
    assert 100 <= value("speechsum_jobs_oldest_waiting_seconds") < 110
    assert value("speechsum_jobs", state="queued") == 2
    assert value("speechsum_jobs", state="running") == 1


async def test_an_end_is_counted_once_and_with_its_time(store: JobStore) -> None:
    def counts() -> list[float]:
        return [value("speechsum_jobs_ended_total", state=state) for state in ("succeeded", "failed", "cancelled")]

    before, seconds = counts(), value("speechsum_job_duration_seconds_count", state="succeeded")
    await queue(store, created=time.time(), webhook="http://receiver.example/")
    job = await store.claim("me")
    assert job is not None
    assert await store.finish(job, SUCCEEDED, result={})
    assert not await store.finish(job, FAILED, error={})  # it has ended
    cancelled = await queue(store)
    await store.cancel(cancelled, "")
    await store.cancel(cancelled, "")
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 0, 1]
    assert value("speechsum_job_duration_seconds_count", state="succeeded") == seconds + 1
    await QueueGauges(store.database).refresh()
    assert value("speechsum_webhooks_waiting") == 1
    assert 0 < value("speechsum_webhooks_oldest_waiting_seconds") < 60


async def test_a_scrape_shows_the_queue() -> None:
    async with serving(jobs={"workers": 0, "max_waiting": 1}) as site:
        refused = value("speechsum_jobs_refused_total", code="jobs_full")
        form = {"file": ("recording.wav", wav())}
        assert (await site.client.post(JOBS_PATH, files=form)).status_code == 202
        assert (await site.client.post(JOBS_PATH, files=form)).status_code == 503
        text = (await site.client.get("/metrics")).text
        assert 'speechsum_jobs{state="queued"} 1.0' in text
        assert "speechsum_database_up 1.0" in text
        assert "speechsum_draining 0.0" in text
        assert 'speechsum_disk_free_bytes{place="jobs"}' in text
        assert value("speechsum_jobs_refused_total", code="jobs_full") == refused + 1
        site.app.state.draining.set()
        text = (await site.client.get("/metrics")).text
        assert "speechsum_draining 1.0" in text


async def test_a_scrape_outlives_the_database(tmp_path: Path) -> None:
    lost = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/no/such/folder/jobs.sqlite3")
    metrics.JOBS_BY_STATE.labels("queued").set(3)
    await QueueGauges(lost).refresh()
    assert value("speechsum_database_up") == 0
    assert value("speechsum_jobs", state="queued") == 3  # the last that was known
    await lost.dispose()
    # aiosqlite's thread must have reported its failure before the event loop is closed.
    await until(lambda: not any("_connection_worker_thread" in thread.name for thread in threading.enumerate()))


async def test_a_job_is_timed_from_its_arrival() -> None:
    async with serving() as site:
        ended = value("speechsum_jobs_ended_total", state="succeeded")
        waits = value("speechsum_job_wait_duration_seconds_count")
        await site.client.post(JOBS_PATH, files={"file": ("recording.wav", wav())})
        await until(lambda: value("speechsum_jobs_ended_total", state="succeeded") == ended + 1, seconds=60)
        assert value("speechsum_job_wait_duration_seconds_count") == waits + 1
