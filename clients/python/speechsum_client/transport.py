"""How a client without asyncio sends a call, and reads its answer at once or as a stream. `async_transport.py` has the
same for the other one. Knows nothing about the routes of the service.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import httpx

from speechsum_client.calls import DEFAULT_URL, Call, check_event_stream, check_status, target, translate_errors
from speechsum_client.errors import SpeechsumError
from speechsum_client.retries import Attempts, RetryPolicy

if TYPE_CHECKING:
    from typing_extensions import Self

_sleep = time.sleep


class Transport:
    """Sends calls to one service. The arguments are those of `Client`."""

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        timeout: float = 600.0,
        idle_timeout: float = 60.0,
        connect_timeout: float = 10.0,
        retry: RetryPolicy | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._target = target(base_url, api_key, timeout, idle_timeout, connect_timeout)
        self.retry = retry or RetryPolicy()
        self._http = http or httpx.Client()
        self._closes_http = http is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, unless they are those of a client that the caller gave."""
        if self._closes_http:
            self._http.close()

    def send(self, call: Call) -> httpx.Response:
        """Return the successful answer to a call, with its body read, after as many tries as it takes."""
        attempts = Attempts(self.retry)
        while True:
            try:
                with translate_errors(call):
                    response = self._http.send(self._target.build(self._http, call))
                check_status(call, response, attempts.count)
                return response
            except SpeechsumError as error:
                _sleep(attempts.wait_s(error))

    @contextmanager
    def open_stream(self, call: Call) -> Iterator[httpx.Response]:
        """Hold the successful answer to a call, with its body unread, after one try. The end of the block ends it."""
        with translate_errors(call, is_stream=True):
            response = self._http.send(self._target.build(self._http, call), stream=True)
        try:
            if response.is_success:
                check_event_stream(response)
            else:
                with translate_errors(call, is_stream=True):
                    response.read()
                check_status(call, response)
            yield response
        finally:
            response.close()

    def read_chunks(self, call: Call, response: httpx.Response) -> Iterator[bytes]:
        """Yield the body of a stream as it comes. Raises ConnectionFailed if it breaks off."""
        with translate_errors(call, is_stream=True):
            yield from response.iter_bytes()
