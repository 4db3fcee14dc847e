"""A job of the queue, for clients without asyncio. `async_jobs.py` has the same for clients with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import httpx

from speechsum_client import requests
from speechsum_client.answers import JobInfo, Summary
from speechsum_client.calls import parse_answer
from speechsum_client.errors import ConnectionFailed, JobCancelled, JobFailed, SpeechsumError
from speechsum_client.polling import JobEventReader, JobPoll

if TYPE_CHECKING:
    from speechsum_client.client import Client

_sleep = time.sleep


class JobHandle:
    """What a job is with asyncio and without. info: what the service said about it last."""

    def __init__(self, info: JobInfo) -> None:
        self.info = info

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.state}>"

    @property
    def id(self) -> str:
        """The job's id, by which `client.job` finds it again."""
        return self.info.id

    @property
    def state(self) -> str:
        """The last known state: queued, running, succeeded, failed or cancelled."""
        return self.info.state

    def take(self, response: httpx.Response) -> JobInfo:
        """Take what an answer says about the job, and return it."""
        self.info = parse_answer(response, JobInfo)
        return self.info


class Job(JobHandle):
    """A recording in the queue of a service. info: what the service said about it last."""

    def __init__(self, client: Client, info: JobInfo) -> None:
        super().__init__(info)
        self._client = client

    def refresh(self) -> JobInfo:
        """Ask the service about the job, and return what it says."""
        return self.take(self._client.send(requests.job_call(self.id)))

    def wait(self, timeout: float | None = None, on_change: Callable[[JobInfo], None] | None = None) -> Summary:
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
                response = self._client.send(poll.call)
            except SpeechsumError as error:
                wait_s = poll.endure(error)
            else:
                wait_s = poll.read(response)
            if wait_s:
                _sleep(wait_s)
        return summary_of(self.info)

    def events(self) -> Iterator[JobInfo]:
        """Yield the job at every change until it has ended, with its summary at last. A connection that is lost is made
        again, and goes on after the last event.
        """
        reader = JobEventReader(self, self._client.retry)
        while not reader.is_over:
            call = reader.begin()
            try:
                with self._client.open_stream(call) as response:
                    if response.status_code == httpx.codes.NO_CONTENT:
                        return
                    for chunk in self._client.read_chunks(call, response):
                        yield from reader.read(chunk)
                        if reader.is_over:
                            return
                raise ConnectionFailed("The events ended before the job.")
            except SpeechsumError as error:
                _sleep(reader.wait_s(error))

    def result(self) -> Summary:
        """Return the summary of a job that has succeeded, without waiting.

        Raises: what `summarize` would have raised, if the job has failed; Conflict, if it has not ended or was
            cancelled.
        """
        return parse_answer(self._client.send(requests.job_result_call(self.id)), Summary)

    def cancel(self) -> JobInfo:
        """Cancel the job if it has not ended, and return it as it is afterwards."""
        return self.take(self._client.send(requests.cancel_call(self.id)))

    def delete(self) -> None:
        """Delete the job and everything that is stored about it; a job that has not ended is cancelled."""
        self._client.send(requests.delete_call(self.id))


def summary_of(info: JobInfo) -> Summary:
    """Return the summary of a job that has ended. Raises JobFailed or JobCancelled if it has none."""
    if info.state == "cancelled":
        raise JobCancelled(info)
    if info.summary is None:
        raise JobFailed(info)
    return info.summary
