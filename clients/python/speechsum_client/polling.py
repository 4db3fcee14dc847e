"""Following a job until it has ended, by looks at it and by its events: what each answer means, and when the next try
is due. `jobs.py` and `async_jobs.py` send and sleep.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import httpx

from speechsum_client import requests
from speechsum_client.answers import JobInfo
from speechsum_client.calls import Call, retry_after_seconds
from speechsum_client.errors import JobNotEnded, SpeechsumError
from speechsum_client.retries import Attempts, Outage, PollPace, RetryPolicy
from speechsum_client.sse import DONE, EventParser
from speechsum_client.streams import parse_event, parse_object

if TYPE_CHECKING:
    from speechsum_client.jobs import JobHandle


class JobPoll:
    """The looks at a job that is waited for.

    Args:
        job: What is looked at; every answer becomes its `info`.
        timeout: Seconds to wait at most; None waits without end.
        on_change: Called with the job whenever it has changed.
    """

    def __init__(self, job: JobHandle, timeout: float | None, on_change: Callable[[JobInfo], None] | None) -> None:
        self._job = job
        self._timeout = timeout
        self._on_change = on_change
        self._pace, self._outage = PollPace(), Outage()
        self._end = time.monotonic() + (timeout or 0)
        # A list of jobs holds no summaries, so that one from there is looked at once.
        self.is_over = job.info.is_final and bool(job.info.summary or job.state != "succeeded")

    @property
    def call(self) -> Call:
        """The request of a look."""
        return requests.job_call(self._job.id)

    def read(self, response: httpx.Response) -> float:
        """Take the answer to a look. Returns the seconds until the next one; 0 if there is none. Raises JobNotEnded."""
        self._outage.end()
        known = self._job.info
        if self._job.take(response) != known and self._on_change:
            self._on_change(self._job.info)
        self.is_over = self._job.info.is_final
        return 0.0 if self.is_over else self._wait_s(retry_after_seconds(response))

    def endure(self, error: SpeechsumError) -> float:
        """Return the seconds until the next look, after one that failed. Raises the error if there is no next one, or
        JobNotEnded.
        """
        return self._wait_s(self._outage.retry_after_s(error))

    def _wait_s(self, retry_after_s: float | None) -> float:
        wait_s = self._pace.wait_s(retry_after_s)
        if self._timeout is None:
            return wait_s
        left_s = self._end - time.monotonic()
        if left_s <= (retry_after_s or 0):
            raise JobNotEnded(self._job.info, self._timeout)
        return min(wait_s, left_s)


class JobEventReader:
    """The events of a job, over as many connections as it takes.

    is_over: whether the job has ended. call: the request of the next connection, which goes on after the last event.
    """

    def __init__(self, job: JobHandle, retry: RetryPolicy) -> None:
        self._job = job
        self._attempts = Attempts(retry)
        self._last_id, self._retry_s = "", 0.0
        self._parser = EventParser("")
        self.is_over = False

    def begin(self) -> Call:
        """Begin a connection, the first one or the next, and return its request."""
        self._parser = EventParser(self._last_id)
        return requests.job_events_call(self._job.id, self._last_id)

    def read(self, chunk: bytes) -> Iterator[JobInfo]:
        """Yield the job as it is after each event that this piece completes."""
        for event in self._parser.feed(chunk):
            if event.data == DONE:
                self.is_over = True
                return
            self._job.info = parse_event(JobInfo, parse_object(event.data))
            self._last_id = event.id
            self.is_over = self._job.info.is_final
            yield self._job.info
            if self.is_over:
                return

    def wait_s(self, error: SpeechsumError) -> float:
        """Return the seconds before the next connection. Raises the error if there is no next one."""
        if self._parser.is_alive:
            self._attempts.reset()
        self._retry_s = self._parser.retry_s or self._retry_s
        return max(self._attempts.wait_s(error), self._retry_s)
