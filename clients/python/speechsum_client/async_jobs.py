"""A job of the queue, for clients with asyncio. `jobs.py` has the same for clients without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import httpx

from speechsum_client import requests
from speechsum_client.answers import JobInfo, Summary
from speechsum_client.calls import parse_answer
from speechsum_client.errors import ConnectionFailed, SpeechsumError
from speechsum_client.jobs import JobHandle, summary_of
from speechsum_client.polling import JobEventReader, JobPoll

if TYPE_CHECKING:
    from speechsum_client.async_client import AsyncClient

_sleep = asyncio.sleep


class AsyncJob(JobHandle):
    """A recording in the queue of a service. info: what the service said about it last."""

    def __init__(self, client: AsyncClient, info: JobInfo) -> None:
        super().__init__(info)
        self._client = client

    async def refresh(self) -> JobInfo:
        """Ask the service about the job, and return what it says."""
        return self.take(await self._client.send(requests.job_call(self.id)))

    async def wait(self, timeout: float | None = None, on_change: Callable[[JobInfo], None] | None = None) -> Summary:
        """Wait until the job has ended, and return its summary.

        The service is asked again and again, first after a quarter of a second and then less and less often, up to
        every ten seconds and never before its `Retry-After`. A service that is away is waited for, five minutes at
        most, because a job outlives a restart.

        Args:
            timeout: Seconds to wait at most; None waits without end.
            on_change: Called with the job whenever it has changed, for example in its progress.

        Raises:
            JobFailed: The job has failed.
            JobCancelled: It was cancelled.
            JobNotEnded: The time is over. The job goes on.
        """
        poll = JobPoll(self, timeout, on_change)
        while not poll.is_over:
            try:
                response = await self._client.send(poll.call)
            except SpeechsumError as error:
                wait_s = poll.endure(error)
            else:
                wait_s = poll.read(response)
            if wait_s:
                await _sleep(wait_s)
        return summary_of(self.info)

    async def events(self) -> AsyncIterator[JobInfo]:
        """Yield the job at every change until it has ended, with its summary at last. A connection that is lost is made
        again, and goes on after the last event.
        """
        reader = JobEventReader(self, self._client.retry)
        while not reader.is_over:
            call = reader.begin()
            try:
                async with self._client.open_stream(call) as response:
                    if response.status_code == httpx.codes.NO_CONTENT:
                        return
                    async for chunk in self._client.read_chunks(call, response):
                        for info in reader.read(chunk):
                            yield info
                        if reader.is_over:
                            return
                raise ConnectionFailed("The events ended before the job.")
            except SpeechsumError as error:
                await _sleep(reader.wait_s(error))

    async def result(self) -> Summary:
        """Return the summary of a job that has succeeded, without waiting.

        Raises: what `summarize` would have raised, if the job has failed; Conflict, if it has not ended or was
            cancelled.
        """
        return parse_answer(await self._client.send(requests.job_result_call(self.id)), Summary)

    async def cancel(self) -> JobInfo:
        """Cancel the job if it has not ended, and return it as it is afterwards."""
        return self.take(await self._client.send(requests.cancel_call(self.id)))

    async def delete(self) -> None:
        """Delete the job and everything that is stored about it; a job that has not ended is cancelled."""
        await self._client.send(requests.delete_call(self.id))
