"""Processes the queue: a number of jobs at the same time, each with a lease that is renewed, and with one recorded end.

A job that is processed here is never considered lost here, whatever the clocks say and however long the process was
suspended. Knows nothing about what a job does.
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
from app.jobs.metrics import observe_wait
from app.jobs.store import FAILED, SUCCEEDED, Job, JobStore
from app.jobs.wakeup import Wakeup
from app.settings import JobSettings, setting_name

log = logging.getLogger(__name__)

Progress = dict[str, Any]  # stage, done, of
ProcessJob = Callable[[Job, BinaryIO, Callable[[Progress], None]], Awaitable[dict[str, Any]]]
CLEANUP_SECONDS = 60


class JobRunner:
    """The workers of one service.

    Args:
        process_job: makes a job's result from its recording, and reports progress.
        wait_until_ready: returns when jobs can be processed.
        delete_expired: deletes what is no longer kept; called every `CLEANUP_SECONDS`.
        renew_leases: renews what else this service holds by leases, and frees what dead services held.
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
        self._workers: list[asyncio.Task[None]] = []
        self._stops_claiming = False

    async def run(self) -> None:
        """Process jobs until cancelled. Jobs in progress are then queued again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self.delete_expired, CLEANUP_SECONDS))
            for lease_duty in (self._requeue_expired, self.renew_leases):
                group.create_task(self._repeat(lease_duty, self.settings.lease_seconds / RENEWALS_PER_LEASE))
            if self.settings.workers:
                await self.wait_until_ready()
            if not self._stops_claiming:
                self._workers = [
                    group.create_task(self._repeat(self._run_next, 0)) for _ in range(self.settings.workers)
                ]

    def stop_claiming(self) -> None:
        """Claim no more jobs. Those in progress go on."""
        self._stops_claiming = True

    async def hand_back(self) -> None:
        """Queue the jobs in progress again and end the workers. Leases of other things are still renewed."""
        self.stop_claiming()
        workers, self._workers = self._workers, []
        if count := len(self._running):
            log.info("%d jobs in progress are queued again.", count)
        if workers:
            await cancel_and_wait(*workers)

    def cancel(self, id_: str) -> None:
        """Stop the processing of a cancelled job, if it runs here."""
        if task := self._running.get(id_):
            task.cancel()

    async def _repeat(self, once: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while True:
            try:
                await once()
            except ServiceError as error:
                log.error("The queue of jobs has to wait: %s", error)
                await asyncio.sleep(self.settings.poll_seconds)
            except Exception:
                # The database may be unreachable for a while; the queue must survive that.
                log.exception("The queue of jobs failed and continues.")
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
            log.warning("%d jobs had lost the service that processed them.", lost)
            self.wakeup.set()

    async def _run_next(self) -> None:
        self.wakeup.clear()
        job = None if self._stops_claiming else await self.store.claim(self.worker_id)
        if job is None:
            await self.wakeup.wait_with_timeout(self.settings.poll_seconds)
            return
        self.wakeup.set()  # there may be another
        observe_wait(job)
        try:
            await self._run_job(job)
        except asyncio.CancelledError:
            await asyncio.shield(self.store.release(job, counts=False))
            raise

    async def _run_job(self, job: Job) -> None:
        progress: Progress = {}
        work = asyncio.create_task(self._process(job, progress.update))
        self._running[job.id] = work
        lease_keeper = asyncio.create_task(self._keep_lease(job, progress, work))
        try:
            await asyncio.wait({work})
            await self._record_outcome(job, work, began=bool(progress))
        finally:
            if self._running.get(job.id) is work:  # else another worker has claimed the job, which was queued again
                del self._running[job.id]
            await cancel_and_wait(work, lease_keeper)

    async def _process(self, job: Job, report: Callable[[Progress], None]) -> dict[str, Any]:
        try:
            audio = await self.blobs.open(job.blob)
        except FileNotFoundError:
            raise Unprocessable("The stored recording of this job is gone.", code="recording_lost") from None
        with audio:
            return await self.process_job(job, audio, report)

    async def _record_outcome(self, job: Job, work: asyncio.Task[dict[str, Any]], *, began: bool) -> None:
        """Record how the job ended, unless it no longer belongs to this worker: cancelled by its owner, or claimed by
        another.

        began: whether the job made any progress. If not, it met an engine that was dead already.
        """
        if work.cancelled():
            return
        error = work.exception()
        if isinstance(error, EngineDead) and began and job.attempt >= self.settings.attempts:
            error = _attempts_exhausted_error(self.settings.attempts)  # the engine may have died of this job, each time
        if isinstance(error, EngineDead):
            await self.store.release(job, counts=began)
            await asyncio.sleep(self.settings.poll_seconds)  # the supervisor of the service is about to restart it
            return
        not_ready = isinstance(error, NotReady)
        may_retry = isinstance(error, Unavailable) and job.attempt < self.settings.attempts
        if isinstance(error, ServiceError) and error.retry_after_s is not None and (not_ready or may_retry):
            await self.store.release(job, counts=not not_ready)
            await asyncio.sleep(min(error.retry_after_s, self.settings.lease_seconds))
            return
        if error is None:
            ended = await self._finish(job, SUCCEEDED, result=work.result())
        else:
            if not isinstance(error, ServiceError):
                log.error("The job %s failed.", job.id, exc_info=error)
                error = ServiceError("The service failed on this job. Its log says why.", code="internal_error")
            ended = await self._finish(job, FAILED, error=_error_fields(error))
        if ended:
            await self.blobs.delete(job.blob)

    async def _finish(self, job: Job, state: str, **how: dict[str, Any]) -> bool:
        """Call `JobStore.finish` until the database takes it: no job is processed twice because the database was full
        or away.
        """
        while True:
            try:
                return await self.store.finish(job, state, **how)
            except Unavailable as error:
                log.error("The end of the job %s cannot be stored yet: %s", job.id, error)
                await asyncio.sleep(self.settings.poll_seconds)

    async def _keep_lease(self, job: Job, progress: Progress, work: asyncio.Task[Any]) -> None:
        """Renew the lease and store the progress; cancel the work if the job no longer belongs to this worker."""
        stored_progress: Progress = {}
        renewed_at = time.monotonic()
        renewal_s = self.settings.lease_seconds / RENEWALS_PER_LEASE
        while True:
            await asyncio.sleep(min(self.settings.poll_seconds, renewal_s))
            if progress == stored_progress and time.monotonic() - renewed_at < renewal_s:
                continue
            stored_progress = dict(progress)
            try:
                if not await self.store.renew(job, **stored_progress):
                    work.cancel()
                    return
                renewed_at = time.monotonic()
            except Exception:
                log.exception("The lease of the job %s could not be renewed.", job.id)


def _error_fields(error: ServiceError) -> dict[str, Any]:
    return {"status": error.status, "body": error.body()}


def _attempts_exhausted_error(attempts: int) -> ServiceError:
    return ServiceError(
        f"The service or its engine died {attempts} times while it processed this recording, and does not try again. "
        f"The setting is {setting_name('jobs', 'attempts')}.",
        code="job_given_up",
    )
