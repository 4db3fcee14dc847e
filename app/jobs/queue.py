"""The queue with all that belongs to it, and its life: recordings, runner, webhooks, kept answers.

Knows nothing about HTTP, nor what the work is.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from secrets import token_hex
from typing import Any, BinaryIO

from app.concurrency import end
from app.core.errors import InvalidRequest, TooManyRequests, Unavailable
from app.database.connection import Database
from app.fetch.poster import Poster
from app.jobs.blob_store import Blobs
from app.jobs.idempotency_store import Answer, Answers, Reservation
from app.jobs.runner import Runner, Work
from app.jobs.store import CANCELLED, QUEUED, JobStore, StoredJob, Tell
from app.jobs.webhooks import Sender
from app.keys.webhook_secrets import WebhookSecrets, service_secrets
from app.settings import Settings, setting_name

ID_BYTES = 16  # random ones of a job's id: where nobody has a key, who knows the id may do all with the job
ORPHAN_SECONDS = 3600  # after which a recording without a job is one whose request did not live to queue it


class Jobs:
    """work, tell, ready: of `Runner` and `JobStore`. tidy: awaited now and then, beside the queue's own tidying. Raises
    ValueError for settings that cannot be used.
    """

    database: Database
    store: JobStore
    secrets: WebhookSecrets
    poster: Poster
    answers: Answers
    runner: Runner

    def __init__(
        self,
        settings: Settings,
        work: Work,
        tell: Tell,
        ready: Callable[[], Awaitable[None]],
        tidy: Callable[[], Awaitable[None]],
    ) -> None:
        self.settings = settings
        self.tidy = tidy
        self.blobs = Blobs(settings.jobs.blobs or str(settings.jobs.folder / "recordings"))
        self.service_secrets = service_secrets(settings.webhooks)
        self.work, self.tell, self.ready = work, tell, ready
        self._open = AsyncExitStack()  # what `start` opened, to be closed the other way round

    async def start(self, database: Database) -> None:
        """Begin to work."""
        jobs = self.settings.jobs
        self.database = database
        self.store = JobStore(self.database, jobs.keep_seconds, self.tell)
        longest = self.settings.timeouts.request_seconds
        self.answers = Answers(self.database, longest, jobs.lease_seconds, jobs.repeat_seconds)
        self.runner = Runner(jobs, self.store, self.blobs, self.work, self.ready, self._sweep, self.answers.beat)
        webhooks = self.settings.webhooks
        self.secrets = WebhookSecrets(self.database, self.service_secrets)
        self.poster = Poster(webhooks.private_hosts, webhooks.seconds, at_once=webhooks.at_once)
        self._open.callback(self.poster.close)
        sender = Sender(self.database, webhooks, self.secrets, self.poster, jobs.poll_seconds)
        self.store.on_ended = sender.news.set
        self._run(sender.run())
        self._run(self.runner.run())

    async def stop(self) -> None:
        """Queue again what is being worked on. Harmless twice."""
        await self._open.aclose()

    async def accept(
        self,
        owner: str,
        caller: str,
        fields: list[tuple[str, str]],
        audio: BinaryIO,
        audio_bytes: int,
        webhook: str | None,
        kept: tuple[Reservation, Callable[[StoredJob], Answer]] | None = None,
    ) -> StoredJob:
        """Queue a recording. When this returns, recording and job are on the disk. Raises Unavailable (503) if too many
        jobs wait, TooManyRequests (429) if too many of them are the caller's.

        caller: by whom waiting jobs are counted. kept: a key and the answer under it, which is kept if, and only if,
        the job is queued.
        """
        # Before the recording is copied, and again below, since others may be let in meanwhile.
        self._check_room(*await self.store.waiting(caller))
        blob = await self.blobs.put(audio)
        job = StoredJob(
            id=f"job-{token_hex(ID_BYTES)}",
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
                self._check_room(*await self.store.waiting_in(connection, caller))
                await self.store.add(job, connection)
                if kept:
                    reservation, answer = kept
                    await self.answers.keep_with(connection, reservation, answer(job), job.id)
        except BaseException:
            await asyncio.shield(self.blobs.drop(blob))
            raise
        self.runner.news.set()
        return job

    async def check_webhook(self, url: str, owner: str, param: str) -> None:
        """Refuse a webhook that could not be sent. Raises InvalidRequest (400)."""
        if not await self.secrets.current(owner):
            raise InvalidRequest(
                "This service has no secret to sign your webhooks with. The operator makes one for your key with "
                f"`speechsum keys rotate-webhook`, or for all with the setting {setting_name('webhooks', 'secret')}.",
                code="webhooks_disabled",
                param=param,
            )
        try:
            await self.poster.check(url)
        except InvalidRequest as error:
            raise InvalidRequest(
                f"{error.message} The setting that names hosts which are told all the same is "
                f"{setting_name('webhooks', 'private_hosts')}.",
                code="invalid_field",
                param=param,
            ) from None

    async def cancel(self, id_: str, owner: str) -> StoredJob | None:
        """Cancel a job that has not ended; returns it as it is then, None if the owner has no such job."""
        job = await self.store.cancel(id_, owner)
        if job and job.state == CANCELLED:
            self.runner.left(id_)
            await self.blobs.drop(job.blob)
        return job

    async def delete(self, id_: str, owner: str) -> bool:
        """Delete a job, whatever its state, and all that is kept of it: recording, summary, webhook, the answer under
        its `Idempotency-Key`. False if the owner has no such job.
        """
        job = await self.store.delete(id_, owner)
        if job is None:
            return False
        self.runner.left(id_)
        await self.blobs.drop(job.blob)
        await self.database.erase_deleted()
        return True

    def check(self) -> None:
        """Raise Unavailable (503) if the database's file was deleted or replaced."""
        self.database.check_file()

    def _check_room(self, waiting: int, own: int) -> None:
        """Refuse a job where too many wait: in all, or of its caller's own."""
        jobs = self.settings.jobs
        retry_after_s = self.settings.limits.retry_after_seconds
        if waiting >= jobs.max_waiting:
            raise Unavailable(
                f"{jobs.max_waiting} jobs wait already. Try again later. The setting is "
                f"{setting_name('jobs', 'max_waiting')}.",
                code="jobs_full",
                retry_after_s=retry_after_s,
            )
        if jobs.max_waiting_per_caller and own >= jobs.max_waiting_per_caller:
            raise TooManyRequests(
                f"{own} jobs of yours wait already, the most that one caller may have waiting. Try again when some of "
                f"them have ended. The setting is {setting_name('jobs', 'max_waiting_per_caller')}.",
                code="too_many_jobs",
                retry_after_s=retry_after_s,
            )

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._open.push_async_callback(end, asyncio.create_task(work))

    async def _sweep(self) -> None:
        await self.store.forget()
        await self.answers.forget()
        await self.secrets.forget()
        await self.tidy()
        await self.blobs.sweep(await self.store.blobs(), ORPHAN_SECONDS)
