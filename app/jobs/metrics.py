"""The Prometheus metrics of the queue: its jobs, their webhooks, and the database that holds both.

What the database knows is read when the metrics are asked for, so that it is also right after another service on the
same database has changed it. Every service on one database shows the same numbers: take their maximum, not their sum.
"""

import asyncio
import logging
import time
from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.database.rows import read_connection
from app.database.tables import DELIVERIES, JOBS
from app.jobs.store import DEAD, DELIVERED, FINAL_STATES, PENDING, QUEUED, RUNNING, Job
from app.metrics import SECONDS_BUCKETS

log = logging.getLogger(__name__)

TRY_AGAIN = "again"  # the outcome of an attempt that another one follows
READ_SECONDS = 2.0  # longest time that a scrape waits for the database
FRESH_SECONDS = 1.0  # numbers of this age are given again, so that scrapers cannot load the database
JOB_SECONDS_BUCKETS = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400)

JOBS_BY_STATE = Gauge(
    "speechsum_jobs", "Jobs in the database, by state. Jobs that have ended stay until their time is over.", ["state"]
)
JOBS_OLDEST_WAITING = Gauge(
    "speechsum_jobs_oldest_waiting_seconds", "Age of the oldest job that waits for a worker; 0 if none waits."
)
JOBS_ENDED = Counter("speechsum_jobs_ended", "Jobs that this process has ended, by their last state.", ["state"])
JOBS_REFUSED = Counter("speechsum_jobs_refused", "Jobs that were not queued, by error code.", ["code"])
JOB_WAIT_DURATION = Histogram(
    "speechsum_job_wait_duration_seconds",
    "Time from a job's arrival until a worker took it for the first time.",
    buckets=JOB_SECONDS_BUCKETS,
)
JOB_DURATION = Histogram(
    "speechsum_job_duration_seconds",
    "Time from a job's arrival to its end, by the state it ended in.",
    ["state"],
    buckets=JOB_SECONDS_BUCKETS,
)
WEBHOOKS = Counter("speechsum_webhooks", "Attempts to deliver a webhook, by outcome.", ["outcome"])
WEBHOOKS_WAITING = Gauge("speechsum_webhooks_waiting", "Webhooks that are not delivered yet and not given up.")
WEBHOOKS_OLDEST_WAITING = Gauge(
    "speechsum_webhooks_oldest_waiting_seconds", "Age of the oldest webhook that waits; 0 if none waits."
)
WEBHOOK_DURATION = Histogram(
    "speechsum_webhook_duration_seconds",
    "Time of one attempt to deliver a webhook, by outcome.",
    ["outcome"],
    buckets=SECONDS_BUCKETS,
)
DATABASE_UP = Gauge("speechsum_database_up", "1 if the database answered when the metrics were asked for, else 0.")

# A zero each, so that rates exist from the start.
for _state in FINAL_STATES:
    JOBS_ENDED.labels(_state)
    JOB_DURATION.labels(_state)
for _code in ("jobs_full", "too_many_jobs", "disk_full"):
    JOBS_REFUSED.labels(_code)
for _outcome in (DELIVERED, TRY_AGAIN, DEAD):
    WEBHOOKS.labels(_outcome)
    WEBHOOK_DURATION.labels(_outcome)


def count_ended(jobs: Iterable[Job]) -> None:
    """Count jobs that have ended, after their transaction is over."""
    for job in jobs:
        JOBS_ENDED.labels(job.state).inc()
        JOB_DURATION.labels(job.state).observe(max(0.0, (job.finished or time.time()) - job.created))


def observe_wait(job: Job) -> None:
    """Record how long a job that was just claimed has waited, unless it was claimed before."""
    if job.attempt == 1 and job.started is not None:
        JOB_WAIT_DURATION.observe(max(0.0, job.started - job.created))


class QueueGauges:
    """Sets the gauges that the database knows the values of. For one event loop."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")

    async def refresh(self) -> None:
        """Read the values. It raises nothing: without the database, the gauges keep their values, and
        `speechsum_database_up` is 0.
        """
        async with self._lock:
            if time.monotonic() - self._read_at < FRESH_SECONDS:
                return
            try:
                async with asyncio.timeout(READ_SECONDS), read_connection(self._database) as connection:
                    await _read_gauges(connection)
            except Exception as error:
                DATABASE_UP.set(0)
                log.warning("The metrics of the queue could not be read: %s", type(error).__name__)
            else:
                DATABASE_UP.set(1)
                self._read_at = time.monotonic()


async def _read_gauges(connection: AsyncConnection) -> None:
    by_state = select(JOBS.c.state, func.count(), func.min(JOBS.c.created)).group_by(JOBS.c.state)
    jobs = {state: (int(count), oldest) for state, count, oldest in await connection.execute(by_state)}
    pending = select(func.count(), func.min(DELIVERIES.c.created)).where(DELIVERIES.c.state == PENDING)
    waiting, oldest_webhook = (await connection.execute(pending)).one()
    now = time.time()
    for state in (QUEUED, RUNNING, *FINAL_STATES):
        JOBS_BY_STATE.labels(state).set(jobs.get(state, (0, None))[0])
    JOBS_OLDEST_WAITING.set(_age(now, jobs.get(QUEUED, (0, None))[1]))
    WEBHOOKS_WAITING.set(waiting)
    WEBHOOKS_OLDEST_WAITING.set(_age(now, oldest_webhook))


def _age(now: float, created: float | None) -> float:
    return 0.0 if created is None else max(0.0, now - created)
