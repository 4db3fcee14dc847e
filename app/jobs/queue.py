"""The queue of jobs with everything that belongs to it: recordings, runner, webhooks and stored responses.

It starts and stops these parts together. Knows nothing about HTTP, or about what a job does.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from secrets import token_hex
from typing import Any, BinaryIO

from app.concurrency import cancel_and_wait
from app.core.errors import InvalidRequest, TooManyRequests, Unavailable
from app.database.connection import Database
from app.fetch.poster import Poster
from app.jobs.blob_store import BlobStore
from app.jobs.idempotency_store import IdempotencyStore, Reservation, StoredResponse
from app.jobs.metrics import JOBS_REFUSED, QueueGauges, count_ended
from app.jobs.runner import JobRunner, ProcessJob
from app.jobs.store import CANCELLED, QUEUED, Job, JobStore, WebhookBody
from app.jobs.webhooks import WebhookSender
from app.keys.webhook_secrets import WebhookSecrets, service_secrets
from app.settings import Settings, setting_name

JOB_ID_BYTES = 16  # random bytes: without API keys, everybody who knows a job's id has access to the job
ORPHAN_AGE_SECONDS = 3600  # a recording without a job is deleted at this age: its request died before it queued the job


class JobQueue:
    """The parts of the queue. The attributes without a value exist once `start` was called.

    Args:
        process_job: makes a job's result from its recording.
        webhook_body: writes the body of the webhook for a job that has ended.
        wait_until_ready: returns when jobs can be processed.
        delete_expired: is awaited about once a minute, together with the queue's own cleanup.

    Raises:
        ValueError: if a setting cannot be used.
    """

    database: Database
    store: JobStore
    secrets: WebhookSecrets
    poster: Poster
    answers: IdempotencyStore
    runner: JobRunner
    gauges: QueueGauges

    def __init__(
        self,
        settings: Settings,
        process_job: ProcessJob,
        webhook_body: WebhookBody,
        wait_until_ready: Callable[[], Awaitable[None]],
        delete_expired: Callable[[], Awaitable[None]],
    ) -> None:
        self.settings = settings
        self.delete_expired = delete_expired
        self.blobs = BlobStore(settings.jobs.blobs or str(settings.jobs.folder / "recordings"))
        self.service_secrets = service_secrets(settings.webhooks)
        self.process_job, self.webhook_body, self.wait_until_ready = process_job, webhook_body, wait_until_ready
        self._orphans: set[str] = set()  # recordings without a job, as of the last look
        self._resources = AsyncExitStack()  # what `start` opened, to be closed in reverse order

    async def start(self, database: Database) -> None:
        """Open the parts on a database and start to work."""
        jobs = self.settings.jobs
        self.database = database
        self.store = JobStore(self.database, jobs.keep_seconds, self.webhook_body)
        self.gauges = QueueGauges(self.database)
        timeout_s = self.settings.timeouts.request_seconds
        self.answers = IdempotencyStore(self.database, timeout_s, jobs.lease_seconds, jobs.repeat_seconds)
        self.runner = JobRunner(
            jobs,
            self.store,
            self.blobs,
            self.process_job,
            self.wait_until_ready,
            self._delete_expired,
            self.answers.renew_leases,
        )
        webhooks = self.settings.webhooks
        self.secrets = WebhookSecrets(self.database, self.service_secrets)
        self.poster = Poster(webhooks.private_hosts, webhooks.seconds, max_concurrent_lookups=webhooks.at_once)
        self._resources.callback(self.poster.close)
        sender = WebhookSender(self.database, webhooks, self.secrets, self.poster, jobs.poll_seconds)

        def on_finished(ended: list[Job]) -> None:
            count_ended(ended)
            sender.wakeup.set()

        self.store.on_finished = on_finished
        self._start_task(sender.run())
        self._start_task(self.runner.run())

    def stop_claiming(self) -> None:
        """Claim no more jobs, because the service is about to stop. Those in progress go on."""
        self.runner.stop_claiming()

    async def hand_back(self) -> None:
        """Queue the jobs in progress again, so that other services can take them. The other parts go on."""
        await self.runner.hand_back()

    async def stop(self) -> None:
        """Stop. Jobs in progress are queued again. Safe to call twice."""
        await self._resources.aclose()

    async def enqueue(
        self,
        owner: str,
        caller: str,
        fields: list[tuple[str, str]],
        audio: BinaryIO,
        audio_bytes: int,
        webhook: str | None,
        idempotent_answer: tuple[Reservation, Callable[[Job], StoredResponse]] | None = None,
    ) -> Job:
        """Queue a recording. When this returns, recording and job are on the disk.

        Args:
            owner: whose job it is; empty if the caller has no API key.
            caller: who the waiting job is counted for.
            fields: the fields of the request, as pairs of name and value.
            audio_bytes: size of the recording.
            webhook: URL that is notified when the job has ended; None for no webhook.
            idempotent_answer: an `Idempotency-Key` and a function that makes its response. The response is stored in
                the same
                transaction as the job.

        Raises:
            Unavailable: (503) if too many jobs wait, or there is no room for the recording.
            TooManyRequests: (429) if too many of the waiting jobs are the caller's.
            Conflict: (409) if another request has taken over the `Idempotency-Key`.
        """
        with _count_refusal():
            # Checked before the recording is copied, and again below, because others may queue jobs in between.
            self._check_room(*await self.store.count_waiting(caller))
            blob = await self.blobs.put(audio)
            job = Job(
                id=f"job-{token_hex(JOB_ID_BYTES)}",
                owner=owner,
                caller=caller,
                state=QUEUED,
                created=time.time(),
                fields=[list(pair) for pair in fields],
                blob=blob,
                blob_bytes=audio_bytes,
                webhook=webhook,
            )
            try:
                async with self.database.begin() as connection:
                    self._check_room(*await self.store.count_waiting_in(connection, caller))
                    await self.store.add(job, connection)
                    if idempotent_answer:
                        reservation, answer = idempotent_answer
                        await self.answers.store_in_transaction(connection, reservation, answer(job), job.id)
            except BaseException:
                await asyncio.shield(self.blobs.delete(blob))
                raise
            self.runner.wakeup.set()
            return job

    async def check_webhook(self, url: str, owner: str, param: str) -> None:
        """Refuse a webhook that could not be sent: raises InvalidRequest (400), which names `param`."""
        if not await self.secrets.signing_secrets(owner):
            raise InvalidRequest(
                "This service has no secret to sign your webhooks with. The operator can create one for your key with "
                "`speechsum keys rotate-webhook`, or set one for all callers with "
                f"{setting_name('webhooks', 'secret')}.",
                code="webhooks_disabled",
                param=param,
            )
        try:
            await self.poster.check_url(url)
        except InvalidRequest as error:
            raise InvalidRequest(
                f"{error.message} The operator can allow further hosts with the setting "
                f"{setting_name('webhooks', 'private_hosts')}.",
                code="invalid_field",
                param=param,
            ) from None

    async def cancel(self, id_: str, owner: str) -> Job | None:
        """Cancel a job that has not ended, and return it as it is then; None if the owner has no such job."""
        job = await self.store.cancel(id_, owner)
        if job and job.state == CANCELLED:
            self.runner.cancel(id_)
            await self.blobs.delete(job.blob)
        return job

    async def delete(self, id_: str, owner: str) -> bool:
        """Delete a job in any state, with its recording, summary, webhook and stored response.

        Returns:
            False if the owner has no such job.
        """
        job = await self.store.delete(id_, owner)
        if job is None:
            return False
        self.runner.cancel(id_)
        await self.blobs.delete(job.blob)
        await self.database.purge_deleted()
        return True

    def check_database(self) -> None:
        """Raise Unavailable (503) if the database's file was deleted or replaced."""
        self.database.check_file()

    def _check_room(self, waiting: int, own: int) -> None:
        """Refuse a job if too many jobs wait, in all or of its caller."""
        jobs = self.settings.jobs
        retry_after_s = self.settings.limits.retry_after_seconds
        if waiting >= jobs.max_waiting:
            raise Unavailable(
                f"{jobs.max_waiting} jobs are waiting already. Try again later. The setting is "
                f"{setting_name('jobs', 'max_waiting')}.",
                code="jobs_full",
                retry_after_s=retry_after_s,
            )
        if jobs.max_waiting_per_caller and own >= jobs.max_waiting_per_caller:
            raise TooManyRequests(
                f"{own} of your jobs are waiting already, and one caller may have no more. Try again when some of them "
                f"have ended. The setting is {setting_name('jobs', 'max_waiting_per_caller')}.",
                code="too_many_jobs",
                retry_after_s=retry_after_s,
            )

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        self._resources.push_async_callback(cancel_and_wait, asyncio.create_task(work))

    async def _delete_expired(self) -> None:
        await self.store.delete_expired()
        await self.answers.delete_expired()
        await self.secrets.delete_expired()
        await self.delete_expired()
        await self.delete_orphans(ORPHAN_AGE_SECONDS)

    async def delete_orphans(self, older_s: float) -> None:
        """Delete the recordings of that age that no job needs, and that none needed at the last call either.

        A single look is not enough: the clock may have jumped, and a recording is there before its job is.
        """
        candidates = await self.blobs.list_older(older_s)
        orphans = candidates - await self.store.needed_blobs()
        for name in orphans & self._orphans:
            await self.blobs.delete(name)
        self._orphans = orphans


@contextmanager
def _count_refusal() -> Iterator[None]:
    """Count a job that is refused inside the block."""
    try:
        yield
    except (TooManyRequests, Unavailable) as error:
        JOBS_REFUSED.labels(error.code).inc()
        raise
