"""A job of the queue, for clients with asyncio. `jobs.py` has the same for clients without it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import httpx

from speechsum_client import requests
from speechsum_client.answers import JobInfo, Summary
from speechsum_client.calls import retry_after_seconds
from speechsum_client.errors import ConnectionFailed, JobNotEnded, SpeechsumError
from speechsum_client.jobs import JobHandle, summary_of
from speechsum_client.retries import Attempts, Outage, PollPace
from speechsum_client.sse import DONE, EventParser
from speechsum_client.streams import parse_event, parse_object

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
        return self._take(await self._client.send(requests.job_call(self.id)))

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
        pace, outage, end = PollPace(), Outage(), time.monotonic() + (timeout or 0)
        while not (self.info.is_final and (self.info.summary or self.state != "succeeded")):
            known, retry_after_s = self.info, None
            try:
                response = await self._client.send(requests.job_call(self.id))
            except SpeechsumError as error:
                retry_after_s = outage.retry_after_s(error)
            else:
                outage.end()
                retry_after_s = retry_after_seconds(response)
                if self._take(response) != known and on_change:
                    on_change(self.info)
                if self.info.is_final:
                    break
            wait_s = pace.wait_s(retry_after_s)
            if timeout is not None:
                left_s = end - time.monotonic()
                if left_s <= (retry_after_s or 0):
                    raise JobNotEnded(self.info, timeout)
                wait_s = min(wait_s, left_s)
            await _sleep(wait_s)
        return summary_of(self.info)

    async def events(self) -> AsyncIterator[JobInfo]:
        """Yield the job at every change until it has ended, with its summary at last. A connection that is lost is made
        again, and goes on after the last event.
        """
        attempts, last_id, retry_s = Attempts(self._client.retry), "", None
        while True:
            call = requests.job_events_call(self.id, last_id)
            parser = EventParser(last_id)
            try:
                async with self._client.open_stream(call) as response:
                    if response.status_code == httpx.codes.NO_CONTENT:
                        return
                    async for chunk in self._client.read_chunks(call, response):
                        for event in parser.feed(chunk):
                            if event.data == DONE:
                                return
                            self.info = parse_event(JobInfo, parse_object(event.data))
                            last_id = event.id
                            yield self.info
                            if self.info.is_final:
                                return
                raise ConnectionFailed("The events ended before the job.")
            except SpeechsumError as error:
                if parser.is_alive:
                    attempts.reset()
                retry_s = parser.retry_s or retry_s
                await _sleep(max(attempts.wait_s(error), retry_s or 0.0))

    async def cancel(self) -> JobInfo:
        """Cancel the job if it has not ended, and return it as it is afterwards."""
        return self._take(await self._client.send(requests.cancel_call(self.id)))

    async def delete(self) -> None:
        """Delete the job and everything that is stored about it; a job that has not ended is cancelled."""
        await self._client.send(requests.delete_call(self.id))
