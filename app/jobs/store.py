"""The queue of jobs as database rows: what is queued, which worker holds which job, and how each job ended.

A worker holds a job by its fence, a number that grows with every claim (a fencing token). Each write of a worker names
the fence that it got, and writes nothing if somebody has claimed the job since. While a worker processes a job, it
raises the row's count of renewals; a job whose count stands still is queued again (`app.jobs.leases`). A worker that
was only suspended continues if nobody has claimed the job in between. A job ends once, in the same transaction that
queues its webhook. Several services on one PostgreSQL claim different rows (`FOR UPDATE SKIP LOCKED`); SQLite has one
writer at a time. Knows nothing about audio, summaries or HTTP.
"""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import and_, case, delete, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.database.rows import claim_row, read_connection
from app.database.tables import ANSWERS, DELIVERIES, JOBS

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = "queued", "running", "succeeded", "failed", "cancelled"
UNLEASED = {"state": QUEUED, "leased_by": None, "stage": None, "done": None, "of": None}
FINAL_STATES = (SUCCEEDED, FAILED, CANCELLED)
PENDING, DELIVERED, DEAD = "pending", "delivered", "dead"
MAX_HOST_CHARACTERS = 300  # length of the column
_NUL = "\0"  # PostgreSQL refuses texts that contain it, even in comparisons


@dataclass(frozen=True)
class Job:
    """A row of the table. Times are Unix seconds.

    Attributes:
        owner: whose job it is; empty if the caller has no API key.
        caller: who waiting jobs are counted for, with or without API keys.
        fields: pairs of name and value, as the request sent them, and what the service keeps with them.
        blob: the name of the recording in the blob store.
        stage, done, of: the progress, "`done` of `of`" in a stage.
        error: `status` and `body` of the error of a failed job.
    """

    id: str
    owner: str
    state: str
    created: float
    fields: list[list[str]]
    blob: str
    blob_bytes: int
    webhook: str | None = None
    started: float | None = None
    finished: float | None = None
    expires: float | None = None
    attempt: int = 0
    leased_by: str | None = None
    fence: int = 0
    renewals: int = 0
    stage: str | None = None
    done: int | None = None
    of: int | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    caller: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the job has ended: succeeded, failed or cancelled."""
        return self.state in FINAL_STATES


Lease = tuple[int, int]  # a job's fence and its count of renewals
WebhookBody = Callable[[Job], str]  # a webhook's body for a job that has ended


class JobStore:
    """Jobs in a database.

    Args:
        retention_s: seconds that an ended job is kept.
        webhook_body: writes the body of the webhook for a job that has ended.
    """

    def __init__(self, database: AsyncEngine, retention_s: float, webhook_body: WebhookBody) -> None:
        self.database = database
        self.retention_s = retention_s
        self.webhook_body = webhook_body
        # Called with the jobs that have ended, if any; their webhooks may be sent now.
        self.on_finished: Callable[[list[Job]], None] = lambda ended: None

    async def add(self, job: Job, connection: AsyncConnection) -> None:
        """Queue a job, in the caller's transaction."""
        await connection.execute(insert(JOBS).values(**vars(job)))

    async def get(self, id_: str, owner: str) -> Job | None:
        """Return the owner's job; None if the owner has no such job."""
        if _NUL in id_:
            return None
        async with read_connection(self.database) as connection:
            return await _fetch_job(connection, and_(JOBS.c.id == id_, JOBS.c.owner == owner))

    async def page(self, owner: str, state: str | None, after: Job | None, count: int) -> list[Job]:
        """Return up to `count` of the owner's jobs, newest first: those in a state, if one is given, and older than
        `after`.
        """
        query = select(JOBS).where(JOBS.c.owner == owner)
        if state:
            query = query.where(JOBS.c.state == state)
        if after:
            query = query.where(tuple_(JOBS.c.created, JOBS.c.id) < (after.created, after.id))
        query = query.order_by(JOBS.c.created.desc(), JOBS.c.id.desc()).limit(count)
        async with read_connection(self.database) as connection:
            return [Job(**row) for row in (await connection.execute(query)).mappings()]

    async def count_waiting(self, caller: str) -> tuple[int, int]:
        """Return how many jobs are queued, and how many of them are the caller's."""
        async with read_connection(self.database) as connection:
            return await self.count_waiting_in(connection, caller)

    async def count_waiting_in(self, connection: AsyncConnection, caller: str) -> tuple[int, int]:
        """Return the counts of `count_waiting`, as a transaction sees them."""
        of_caller = func.coalesce(func.sum(case((JOBS.c.caller == caller, 1), else_=0)), 0)
        query = select(func.count(), of_caller).select_from(JOBS).where(JOBS.c.state == QUEUED)
        count, own = (await connection.execute(query)).one()
        return int(count), int(own)

    async def claim(self, worker: str) -> Job | None:
        """Claim the next queued job for a worker; None if no job is queued.

        The next job is the oldest one of those callers who have the fewest jobs in progress, so that the long queue of
        one caller does not hold up all others.
        """
        running = JOBS.alias()
        running_of_caller = (
            select(func.count())
            .select_from(running)
            .where(running.c.state == RUNNING, running.c.caller == JOBS.c.caller)
            .scalar_subquery()
        )
        row = await claim_row(
            self.database,
            JOBS,
            select(JOBS.c.id).where(JOBS.c.state == QUEUED).order_by(running_of_caller, JOBS.c.created, JOBS.c.id),
            state=RUNNING,
            started=func.coalesce(JOBS.c.started, time.time()),
            attempt=JOBS.c.attempt + 1,
            fence=JOBS.c.fence + 1,
            leased_by=worker,
        )
        return None if row is None else Job(**row)

    async def renew(self, job: Job, **progress: Any) -> bool:
        """Renew the worker's lease and store the job's progress (stage, done, of).

        A job that was queued again because its worker seemed dead, and that nobody has claimed yet, is held again.

        Returns:
            False if the job no longer belongs to the worker.
        """
        lease = {"state": RUNNING, "leased_by": job.leased_by, "renewals": JOBS.c.renewals + 1}
        async with self.database.begin() as connection:
            change = update(JOBS).where(_holds_lease(job)).values(**lease, **progress)
            return (await connection.execute(change)).rowcount == 1

    async def finish(
        self, job: Job, state: str, *, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None
    ) -> bool:
        """Record how the job ended and queue its webhook.

        Returns:
            False, and nothing is written, if the job no longer belongs to the worker.
        """
        async with self.database.begin() as connection:
            ended = await self._finish(connection, _holds_lease(job), state, result=result, error=error)
        self.on_finished(ended)
        return len(ended) == 1

    async def cancel(self, id_: str, owner: str) -> Job | None:
        """Cancel a queued or running job, and return it as it is then; None if the owner has no such job."""
        if _NUL in id_:
            return None
        this_job = and_(JOBS.c.id == id_, JOBS.c.owner == owner)
        async with self.database.begin() as connection:
            ended = await self._finish(connection, and_(this_job, JOBS.c.state.in_((QUEUED, RUNNING))), CANCELLED)
            job = await _fetch_job(connection, this_job)
        self.on_finished(ended)
        return job

    async def delete(self, id_: str, owner: str) -> Job | None:
        """Delete a job in any state, with its webhook and the response stored under its `Idempotency-Key`.

        Returns:
            the job as it was; None if the owner has no such job.
        """
        if _NUL in id_:
            return None
        this_job = and_(JOBS.c.id == id_, JOBS.c.owner == owner)
        async with self.database.begin() as connection:
            row = (await connection.execute(delete(JOBS).where(this_job).returning(*JOBS.c))).mappings().first()
            if row is None:
                return None
            await connection.execute(delete(DELIVERIES).where(DELIVERIES.c.job == id_))
            await connection.execute(delete(ANSWERS).where(ANSWERS.c.job == id_))
        return Job(**row)

    async def release(self, job: Job, *, counts: bool) -> None:
        """Queue a job again that its worker cannot finish. counts: whether this was an attempt; it is not if the
        service stops.
        """
        values = {**UNLEASED, "attempt": JOBS.c.attempt - int(not counts), "fence": JOBS.c.fence + 1}
        async with self.database.begin() as connection:
            await connection.execute(update(JOBS).where(_holds_lease(job)).values(**values))

    async def active_leases(self) -> dict[str, Lease]:
        """Return the lease of every running job, by the job's id. It changes while the job's worker lives."""
        query = select(JOBS.c.id, JOBS.c.fence, JOBS.c.renewals).where(JOBS.c.state == RUNNING)
        async with read_connection(self.database) as connection:
            return {id_: (fence, renewals) for id_, fence, renewals in await connection.execute(query)}

    async def requeue_expired(self, expired: Mapping[str, Lease], attempts: int, error: dict[str, Any]) -> int:
        """Queue again the jobs whose workers are dead; after `attempts` attempts a job has failed, with the error.

        A job whose lease has changed since is left alone.

        Returns:
            how many jobs had lost their worker.
        """
        lost = 0
        failed: list[Job] = []
        async with self.database.begin() as connection:
            for id_, (fence, renewals) in expired.items():
                unchanged = and_(JOBS.c.fence == fence, JOBS.c.renewals == renewals)
                abandoned = and_(JOBS.c.id == id_, JOBS.c.state == RUNNING, unchanged)
                exhausted = and_(abandoned, JOBS.c.attempt >= attempts)
                failed += await self._finish(connection, exhausted, FAILED, error=error)
                lost += (await connection.execute(update(JOBS).where(abandoned).values(**UNLEASED))).rowcount
        self.on_finished(failed)
        return lost + len(failed)

    async def delete_expired(self) -> int:
        """Delete the ended jobs whose time is over and whose webhook is delivered or given up; return how many."""
        undelivered = select(DELIVERIES.c.job).where(DELIVERIES.c.state == PENDING)
        expired = and_(JOBS.c.state.in_(FINAL_STATES), JOBS.c.expires < time.time(), JOBS.c.id.not_in(undelivered))
        async with self.database.begin() as connection:
            ids = (await connection.execute(delete(JOBS).where(expired).returning(JOBS.c.id))).scalars().all()
            await connection.execute(delete(DELIVERIES).where(DELIVERIES.c.job.in_(ids)))
            return len(ids)

    async def deliveries(self, jobs: Sequence[Job]) -> dict[str, dict[str, Any]]:
        """Return the state, the attempts and the last message of these jobs' webhooks, by the job's id.

        A job that has not ended has none yet.
        """
        ids = [job.id for job in jobs if job.webhook]
        if not ids:
            return {}
        columns = DELIVERIES.c
        query = select(columns.job, columns.state, columns.attempt, columns.said).where(columns.job.in_(ids))
        async with read_connection(self.database) as connection:
            return {row["job"]: dict(row) for row in (await connection.execute(query)).mappings()}

    async def needed_blobs(self) -> set[str]:
        """Return the names of the recordings that jobs still need."""
        async with read_connection(self.database) as connection:
            query = select(JOBS.c.blob).where(JOBS.c.state.in_((QUEUED, RUNNING)))
            return set((await connection.execute(query)).scalars())

    async def _finish(self, connection: AsyncConnection, which: Any, state: str, **how: Any) -> list[Job]:
        now = time.time()
        change = update(JOBS).where(which).values(
            state=state, finished=now, expires=now + self.retention_s, leased_by=None, **how
        )  # fmt: skip
        ended = [Job(**row) for row in (await connection.execute(change.returning(*JOBS.c))).mappings()]
        for job in ended:
            if job.webhook:
                await connection.execute(
                    insert(DELIVERIES).values(
                        id=f"msg_{uuid.uuid4().hex}",
                        job=job.id,
                        url=job.webhook,
                        host=urlsplit(job.webhook).netloc.lower()[:MAX_HOST_CHARACTERS],
                        body=self.webhook_body(job),
                        state=PENDING,
                        created=now,
                        due=now,
                        attempt=0,
                    )
                )
        return ended


def _holds_lease(job: Job) -> Any:
    """Return the condition that nobody has claimed, released or ended the job since this worker claimed it."""
    return and_(JOBS.c.id == job.id, JOBS.c.fence == job.fence, JOBS.c.state.in_((RUNNING, QUEUED)))


async def _fetch_job(connection: AsyncConnection, which: Any) -> Job | None:
    row = (await connection.execute(select(JOBS).where(which))).mappings().first()
    return None if row is None else Job(**row)
