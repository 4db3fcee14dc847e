"""How a client with asyncio sends a call, and reads its answer at once or as a stream. `transport.py` has the
same for the other one. Knows nothing about the routes of the service.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import httpx

from speechsum_client.calls import DEFAULT_URL, Call, check_event_stream, check_status, target, translate_errors
from speechsum_client.errors import SpeechsumError
from speechsum_client.retries import Attempts, RetryPolicy

if TYPE_CHECKING:
    from typing_extensions import Self

_sleep = asyncio.sleep


class AsyncTransport:
    """Sends calls to one service. The arguments are those of `AsyncClient`."""

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        timeout: float = 600.0,
        idle_timeout: float = 60.0,
        connect_timeout: float = 10.0,
        retry: RetryPolicy | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._target = target(base_url, api_key, timeout, idle_timeout, connect_timeout)
        self.retry = retry or RetryPolicy()
        self._http = http or httpx.AsyncClient()
        self._closes_http = http is None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, unless they are those of a client that the caller gave."""
        if self._closes_http:
            await self._http.aclose()

    async def send(self, call: Call) -> httpx.Response:
        """Return the successful answer to a call, with its body read, after as many tries as it takes."""
        attempts = Attempts(self.retry)
        while True:
            try:
                with translate_errors(call):
                    response = await self._http.send(self._target.build(self._http, call))
                check_status(call, response, attempts.count)
                return response
            except SpeechsumError as error:
                await _sleep(attempts.wait_s(error))

    @asynccontextmanager
    async def open_stream(self, call: Call) -> AsyncIterator[httpx.Response]:
        """Hold the successful answer to a call, with its body unread, after one try. The end of the block ends it."""
        with translate_errors(call, is_stream=True):
            response = await self._http.send(self._target.build(self._http, call), stream=True)
        try:
            if response.is_success:
                check_event_stream(response)
            else:
                with translate_errors(call, is_stream=True):
                    await response.aread()
                check_status(call, response)
            yield response
        finally:
            await response.aclose()

    async def read_chunks(self, call: Call, response: httpx.Response) -> AsyncIterator[bytes]:
        """Yield the body of a stream as it comes. Raises ConnectionFailed if it breaks off."""
        with translate_errors(call, is_stream=True):
            async for chunk in response.aiter_bytes():
                yield chunk
