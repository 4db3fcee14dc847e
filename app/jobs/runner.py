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

from app.concurrency import cancel_and_wait
from app.core.errors import EngineDead, NotReady, ServiceError, Unavailable, Unprocessable
from app.jobs.blob_store import BlobStore
from app.jobs.leases import RENEWALS_PER_LEASE, LeaseWatch
from app.jobs.store import FAILED, SUCCEEDED, Job, JobStore
from app.jobs.wakeup import Wakeup
from app.settings import JobSettings, setting_name

log = logging.getLogger(__name__)

Progress = dict[str, Any]  # stage, done, of
ProcessJob = Callable[[Job, BinaryIO, Callable[[Progress], None]], Awaitable[dict[str, Any]]]
CLEANUP_SECONDS = 60


class JobRunner:
    """work: makes a job's result of its recording, and tells of progress. ready: returns once work can be done. sweep:
    clears away what is over. beat: renews what else is held here by such leases as the jobs have, and frees what others
    died over.
    """

    def __init__(
        self,
        settings: JobSettings,
        store: JobStore,
        blobs: BlobStore,
        process_job: ProcessJob,
        wait_until_ready: Callable[[], Awaitable[None]],
        delete_expired: Callable[[], Awaitable[None]],
        renew_leases: Callable[[], Awaitable[None]],
    ) -> None:
        self.settings = settings
        self.store = store
        self.blobs = blobs
        self.process_job = process_job
        self.wait_until_ready = wait_until_ready
        self.delete_expired = delete_expired
        self.renew_leases = renew_leases
        self.worker_id = uuid.uuid4().hex
        self.wakeup = Wakeup()
        self.lease_watch: LeaseWatch[str] = LeaseWatch(settings.lease_seconds)
        self._running: dict[str, asyncio.Task[dict[str, Any]]] = {}

    async def run(self) -> None:
        """Until cancelled; what is being worked on is then queued again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self.delete_expired, CLEANUP_SECONDS))
            for at_each_beat in (self._requeue_expired, self.renew_leases):
                group.create_task(self._repeat(at_each_beat, self.settings.lease_seconds / RENEWALS_PER_LEASE))
            if self.settings.workers:
                await self.wait_until_ready()
            for _ in range(self.settings.workers):
                group.create_task(self._repeat(self._run_next, 0))

    def cancel(self, id_: str) -> None:
        """The job was cancelled: if it is worked on here, that ends now."""
        if task := self._running.get(id_):
            task.cancel()

    async def _repeat(self, once: Callable[[], Awaitable[None]], pause_s: float) -> None:
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

    async def _requeue_expired(self) -> None:
        leases = await self.store.active_leases()
        others = {id_: lease for id_, lease in leases.items() if id_ not in self._running}
        expired = {id_: others[id_] for id_ in self.lease_watch.expired_leases(others)}
        if not expired:
            return
        attempts = self.settings.attempts
        if lost := await self.store.requeue_expired(
            expired, attempts, _error_fields(_attempts_exhausted_error(attempts))
        ):
            log.warning("%d jobs had lost the service that worked on them", lost)
            self.wakeup.set()

    async def _run_next(self) -> None:
        self.wakeup.clear()
        job = await self.store.claim(self.worker_id)
        if job is None:
            await self.wakeup.wait_with_timeout(self.settings.poll_seconds)
            return
        self.wakeup.set()  # there may be another
        try:
            await self._run_job(job)
        except asyncio.CancelledError:
            await asyncio.shield(self.store.release(job, counts=False))
            raise

    async def _run_job(self, job: Job) -> None:
        progress: Progress = {}
        working = asyncio.create_task(self._process(job, progress.update))
        self._running[job.id] = working
        beating = asyncio.create_task(self._keep_lease(job, progress, working))
        try:
            await asyncio.wait({working})
            await self._record_outcome(job, working, began=bool(progress))
        finally:
            del self._running[job.id]
            await cancel_and_wait(working, beating)

    async def _process(self, job: Job, tell: Callable[[Progress], None]) -> dict[str, Any]:
        try:
            audio = await self.blobs.open(job.blob)
        except FileNotFoundError:
            raise Unprocessable("The recording is no longer where it was kept.", code="recording_lost") from None
        with audio:
            return await self.process_job(job, audio, tell)

    async def _record_outcome(self, job: Job, working: asyncio.Task[dict[str, Any]], *, began: bool) -> None:
        """Write how it ended, unless it is no longer ours: cancelled by its owner, or another's after its lease.

        began: whether there was any work, or the job met an engine that was dead already.
        """
        if working.cancelled():
            return
        error = working.exception()
        if isinstance(error, EngineDead) and began and job.attempt >= self.settings.attempts:
            error = _attempts_exhausted_error(self.settings.attempts)  # the engine may have died of this job, each time
        if isinstance(error, EngineDead):
            await self.store.release(job, counts=began)
            await asyncio.sleep(self.settings.poll_seconds)  # until whoever watches the service restarts it
            return
        waits = isinstance(error, NotReady)
        again = isinstance(error, Unavailable) and job.attempt < self.settings.attempts
        if isinstance(error, ServiceError) and error.retry_after_s is not None and (waits or again):
            await self.store.release(job, counts=not waits)
            await asyncio.sleep(min(error.retry_after_s, self.settings.lease_seconds))
            return
        if error is None:
            ended = await self._finish(job, SUCCEEDED, result=working.result())
        else:
            if not isinstance(error, ServiceError):
                log.error("job %s failed", job.id, exc_info=error)
                error = ServiceError("The service failed on this job; its log says why.", code="internal_error")
            ended = await self._finish(job, FAILED, error=_error_fields(error))
        if ended:
            await self.blobs.delete(job.blob)

    async def _finish(self, job: Job, state: str, **how: dict[str, Any]) -> bool:
        """`JobStore.end`, again and again while the database is full or away: the work is not done twice for that."""
        while True:
            try:
                return await self.store.finish(job, state, **how)
            except Unavailable as error:
                log.error("the end of job %s cannot be written yet: %s", job.id, error)
                await asyncio.sleep(self.settings.poll_seconds)

    async def _keep_lease(self, job: Job, progress: Progress, working: asyncio.Task[Any]) -> None:
        """Renew the lease and write progress as it comes; end the work if the job is no longer ours."""
        told: Progress = {}
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(min(self.settings.poll_seconds, self.settings.lease_seconds / RENEWALS_PER_LEASE))
            if progress == told and time.monotonic() - renewed < self.settings.lease_seconds / RENEWALS_PER_LEASE:
                continue
            told = dict(progress)
            try:
                if not await self.store.renew(job, **told):
                    working.cancel()
                    return
                renewed = time.monotonic()
            except Exception:
                log.exception("the lease of job %s could not be renewed", job.id)


def _error_fields(error: ServiceError) -> dict[str, Any]:
    return {"status": error.status, "body": error.body()}


def _attempts_exhausted_error(attempts: int) -> ServiceError:
    return ServiceError(
        f"The service or its engine ended {attempts} times while it worked on this recording, and does not try again. "
        f"The setting is {setting_name('jobs', 'attempts')}.",
        code="job_given_up",
    )
