"""Works off the queue: so many jobs at once, each renewed while it is worked on, its end written once.

What is worked on here is never taken for lost here, whatever the clocks say and however long the process stood still.
Knows nothing about what the work is.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, BinaryIO

from app.concurrency import end
from app.core.errors import EngineDead, NotReady, ServiceError, Unavailable, Unprocessable
from app.jobs.blob_store import Blobs
from app.jobs.leases import BEATS, LeaseWatch
from app.jobs.store import FAILED, SUCCEEDED, JobStore, StoredJob
from app.jobs.wakeup import News
from app.settings import JobSettings, setting_name

log = logging.getLogger(__name__)

Progress = dict[str, Any]  # stage, done, of
Work = Callable[[StoredJob, BinaryIO, Callable[[Progress], None]], Awaitable[dict[str, Any]]]
SWEEP_SECONDS = 60


class Runner:
    """work: makes a job's result of its recording, and tells of progress. ready: returns once work can be done. sweep:
    clears away what is over. beat: renews what else is held here by such leases as the jobs have, and frees what others
    died over.
    """

    def __init__(
        self,
        settings: JobSettings,
        store: JobStore,
        blobs: Blobs,
        work: Work,
        ready: Callable[[], Awaitable[None]],
        sweep: Callable[[], Awaitable[None]],
        beat: Callable[[], Awaitable[None]],
    ) -> None:
        self.settings = settings
        self.store = store
        self.blobs = blobs
        self.work = work
        self.ready = ready
        self.sweep = sweep
        self.beat = beat
        self.name = uuid.uuid4().hex
        self.news = News()
        self.watch: LeaseWatch[str] = LeaseWatch(settings.lease_seconds)
        self._working: dict[str, asyncio.Task[dict[str, Any]]] = {}

    async def run(self) -> None:
        """Until cancelled; what is being worked on is then queued again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again(self.sweep, SWEEP_SECONDS))
            for at_each_beat in (self._requeue, self.beat):
                group.create_task(self._again(at_each_beat, self.settings.lease_seconds / BEATS))
            if self.settings.workers:
                await self.ready()
            for _ in range(self.settings.workers):
                group.create_task(self._again(self._next, 0))

    def left(self, id_: str) -> None:
        """The job was cancelled: if it is worked on here, that ends now."""
        if task := self._working.get(id_):
            task.cancel()

    async def _again(self, once: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while True:
            try:
                await once()
            except ServiceError as error:
                log.error("the queue of jobs waits for what it needs: %s", error)
                await asyncio.sleep(self.settings.poll_seconds)
            except Exception:
                # The database may be away for a while; the queue must outlive that.
                log.exception("the queue of jobs met a fault and goes on")
                await asyncio.sleep(self.settings.poll_seconds)
            await asyncio.sleep(pause_s)

    async def _requeue(self) -> None:
        leases = await self.store.leases()
        others = {id_: lease for id_, lease in leases.items() if id_ not in self._working}
        expired = {id_: others[id_] for id_ in self.watch.expired(others)}
        if not expired:
            return
        attempts = self.settings.attempts
        if lost := await self.store.requeue(expired, attempts, _as_error(_given_up(attempts))):
            log.warning("%d jobs had lost the service that worked on them", lost)
            self.news.set()

    async def _next(self) -> None:
        self.news.clear()
        job = await self.store.claim(self.name)
        if job is None:
            await self.news.wait_at_most(self.settings.poll_seconds)
            return
        self.news.set()  # there may be another
        try:
            await self._take(job)
        except asyncio.CancelledError:
            await asyncio.shield(self.store.give_back(job, counts=False))
            raise

    async def _take(self, job: StoredJob) -> None:
        progress: Progress = {}
        working = asyncio.create_task(self._result(job, progress.update))
        self._working[job.id] = working
        beating = asyncio.create_task(self._beat(job, progress, working))
        try:
            await asyncio.wait({working})
            await self._settle(job, working, began=bool(progress))
        finally:
            del self._working[job.id]
            await end(working, beating)

    async def _result(self, job: StoredJob, tell: Callable[[Progress], None]) -> dict[str, Any]:
        try:
            audio = await self.blobs.open(job.blob)
        except FileNotFoundError:
            raise Unprocessable("The recording is no longer where it was kept.", code="recording_lost") from None
        with audio:
            return await self.work(job, audio, tell)

    async def _settle(self, job: StoredJob, working: asyncio.Task[dict[str, Any]], *, began: bool) -> None:
        """Write how it ended, unless it is no longer ours: cancelled by its owner, or another's after its lease.

        began: whether there was any work, or the job met an engine that was dead already.
        """
        if working.cancelled():
            return
        error = working.exception()
        if isinstance(error, EngineDead) and began and job.attempt >= self.settings.attempts:
            error = _given_up(self.settings.attempts)  # the engine may have died of this job, each time
        if isinstance(error, EngineDead):
            await self.store.give_back(job, counts=began)
            await asyncio.sleep(self.settings.poll_seconds)  # until whoever watches the service restarts it
            return
        waits = isinstance(error, NotReady)
        again = isinstance(error, Unavailable) and job.attempt < self.settings.attempts
        if isinstance(error, ServiceError) and error.retry_after_s is not None and (waits or again):
            await self.store.give_back(job, counts=not waits)
            await asyncio.sleep(min(error.retry_after_s, self.settings.lease_seconds))
            return
        if error is None:
            ended = await self._end(job, SUCCEEDED, result=working.result())
        else:
            if not isinstance(error, ServiceError):
                log.error("job %s failed", job.id, exc_info=error)
                error = ServiceError("The service failed on this job; its log says why.", code="internal_error")
            ended = await self._end(job, FAILED, error=_as_error(error))
        if ended:
            await self.blobs.drop(job.blob)

    async def _end(self, job: StoredJob, state: str, **how: dict[str, Any]) -> bool:
        """`JobStore.end`, again and again while the database is full or away: the work is not done twice for that."""
        while True:
            try:
                return await self.store.end(job, state, **how)
            except Unavailable as error:
                log.error("the end of job %s cannot be written yet: %s", job.id, error)
                await asyncio.sleep(self.settings.poll_seconds)

    async def _beat(self, job: StoredJob, progress: Progress, working: asyncio.Task[Any]) -> None:
        """Renew the lease and write progress as it comes; end the work if the job is no longer ours."""
        told: Progress = {}
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(min(self.settings.poll_seconds, self.settings.lease_seconds / BEATS))
            if progress == told and time.monotonic() - renewed < self.settings.lease_seconds / BEATS:
                continue
            told = dict(progress)
            try:
                if not await self.store.renew(job, **told):
                    working.cancel()
                    return
                renewed = time.monotonic()
            except Exception:
                log.exception("the lease of job %s could not be renewed", job.id)


def _as_error(error: ServiceError) -> dict[str, Any]:
    return {"status": error.status, "body": error.body()}


def _given_up(attempts: int) -> ServiceError:
    return ServiceError(
        f"The service or its engine ended {attempts} times while it worked on this recording, and does not try again. "
        f"The setting is {setting_name('jobs', 'attempts')}.",
        code="job_given_up",
    )
