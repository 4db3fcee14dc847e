"""The queue with all that belongs to it, and its life: recordings, runner, webhooks, kept answers.

Knows nothing about HTTP, nor what the work is.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, BinaryIO

from sqlalchemy.ext.asyncio import AsyncEngine

from app.errors import InvalidRequest, Unavailable
from app.fetch.post import Poster
from app.fetch.url import parse
from app.idempotency import Answer, Answers, Reservation
from app.jobs.blobs import Blobs
from app.jobs.runner import Runner, Work
from app.jobs.store import CANCELLED, QUEUED, JobStore, StoredJob, Tell
from app.jobs.webhooks import Sender, secret_of
from app.settings import Settings, setting_name
from app.together import end

ORPHAN_SECONDS = 3600  # after which a recording without a job is one whose request did not live to queue it


class Jobs:
    """work, tell, ready: of `Runner` and `JobStore`. tidy: awaited now and then, beside the queue's own tidying. Raises
    ValueError for settings that cannot be used.
    """

    database: AsyncEngine
    store: JobStore
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
        self.secret = secret_of(settings.webhooks)
        self.work, self.tell, self.ready = work, tell, ready
        self._open = AsyncExitStack()  # what `start` opened, to be closed the other way round

    async def start(self, database: AsyncEngine) -> None:
        """Begin to work."""
        jobs = self.settings.jobs
        self.database = database
        self.store = JobStore(self.database, jobs.keep_seconds, self.tell)
        longest = self.settings.timeouts.request_seconds
        self.answers = Answers(self.database, longest, jobs.lease_seconds, jobs.repeat_seconds)
        self.runner = Runner(jobs, self.store, self.blobs, self.work, self.ready, self._sweep, self.answers.renew)
        if self.secret:
            webhooks = self.settings.webhooks
            poster = Poster(webhooks.private_hosts, webhooks.seconds)
            self._open.callback(poster.close)
            sender = Sender(self.database, webhooks, self.secret, poster, jobs.poll_seconds)
            self.store.on_ended = sender.news.set
            self._run(sender.run())
        self._run(self.runner.run())

    async def stop(self) -> None:
        """Queue again what is being worked on. Harmless twice."""
        await self._open.aclose()

    async def accept(
        self,
        owner: str,
        fields: list[tuple[str, str]],
        audio: BinaryIO,
        audio_bytes: int,
        webhook: str | None,
        kept: tuple[Reservation, Callable[[StoredJob], Answer]] | None = None,
    ) -> StoredJob:
        """Queue a recording. When this returns, recording and job are on the disk. Raises Unavailable (503).

        kept: a key and the answer under it, which is kept if, and only if, the job is queued.
        """
        jobs = self.settings.jobs
        if await self.store.count(QUEUED) >= jobs.max_waiting:
            raise Unavailable(
                f"{jobs.max_waiting} jobs wait already. Try again later. The setting is "
                f"{setting_name('jobs', 'max_waiting')}.",
                code="jobs_full",
                retry_after_s=self.settings.limits.retry_after_seconds,
            )
        blob = await self.blobs.put(audio)
        job = StoredJob(
            id=f"job-{uuid.uuid4().hex}",
            owner=owner,
            state=QUEUED,
            created=time.time(),
            fields=[list(pair) for pair in fields],
            blob=blob,
            blob_bytes=audio_bytes,
            webhook=webhook,
        )
        try:
            async with self.database.begin() as connection:
                await self.store.add(job, connection)
                if kept:
                    reservation, answer = kept
                    await self.answers.keep_with(connection, reservation, answer(job))
        except BaseException:
            await asyncio.shield(self.blobs.drop(blob))
            raise
        self.runner.news.set()
        return job

    def check_webhook(self, url: str, param: str) -> None:
        """Refuse a webhook that could not be sent. Raises InvalidRequest (400)."""
        if not self.secret:
            raise InvalidRequest(
                f"This service sends no webhooks. The setting is {setting_name('webhooks', 'secret')}.",
                code="webhooks_disabled",
                param=param,
            )
        try:
            parse(url, self.settings.webhooks.private_hosts)
        except InvalidRequest as error:
            raise InvalidRequest(error.message, code="invalid_field", param=param) from None

    async def cancel(self, id_: str, owner: str) -> StoredJob | None:
        """Cancel a job that has not ended; returns it as it is then, None if the owner has no such job."""
        job = await self.store.cancel(id_, owner)
        if job and job.state == CANCELLED:
            self.runner.left(id_)
            await self.blobs.drop(job.blob)
        return job

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._open.push_async_callback(end, asyncio.create_task(work))

    async def _sweep(self) -> None:
        await self.store.forget()
        await self.answers.forget()
        await self.tidy()
        await self.blobs.sweep(await self.store.blobs(), ORPHAN_SECONDS)
