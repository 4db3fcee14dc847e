"""Server-sent events (WHATWG HTML, 9.2) as the OpenAI clients read them: JSON in every data line, `[DONE]` last.

Errors after the opening come as `{"error": {…}}`. While nothing is said, a comment line keeps proxies from closing the
connection. Knows nothing about summaries.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.disconnect import wait_for_disconnect
from app.api.error_responses import internal_error
from app.concurrency import cancel_and_wait
from app.core.errors import ServiceError

log = logging.getLogger(__name__)

DONE_EVENT = b"data: [DONE]\n\n"
KEEP_ALIVE_COMMENT = b": keep-alive\n\n"


class SendEvent(Protocol):
    """Sends one event. id_: under which a client that connects again says that it has had it (`Last-Event-ID`)."""

    def __call__(self, event: BaseModel, id_: str | None = None) -> None: ...


def encode_event(data: BaseModel | dict[str, Any], id_: str | None = None) -> bytes:
    """One event. ASCII only: some parsers end a line at U+2028 or U+0085, which JSON lets through."""
    plain = data.model_dump(mode="json") if isinstance(data, BaseModel) else data
    named = b"" if id_ is None else b"id: " + id_.encode("ascii") + b"\n"
    return named + b"data: " + json.dumps(plain, separators=(",", ":")).encode("ascii") + b"\n\n"


def retry_field(seconds: float) -> bytes:
    """Tells a client that is cut off after how long to connect again."""
    return f"retry: {round(seconds * 1000)}\n\n".encode("ascii")


class EventStreamResponse(Response):
    """Runs `work(say)` and sends what it says as it comes. Ends the work when the client leaves.

    then: if set, is called with all that is sent, just before its end goes out, or with None where the work failed
    or the client left. retry_s: after how long a client that is cut off may connect again; not said if left out.
    ending: what is sent last.
    """

    media_type = "text/event-stream"

    def __init__(
        self, produce: Callable[[SendEvent], Awaitable[None]], keep_alive_s: float, retry_s: float | None = None
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self.produce = produce
        self.keep_alive_s = keep_alive_s
        self.retry_s = retry_s
        self.final_bytes = DONE_EVENT
        self.on_complete: Callable[[bytes | None], Awaitable[None]] | None = None
        self._sent: list[bytes] = []
        self._failed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        said: asyncio.Queue[bytes | None] = asyncio.Queue()
        working = asyncio.create_task(self._run_producer(said, scope))
        sending = asyncio.create_task(self._send(said, send))
        gone = asyncio.create_task(wait_for_disconnect(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(working, sending, gone)
            if self.on_complete:
                await asyncio.shield(self.on_complete(None))
        # An OSError is how some servers say that the client has left in the middle of a send.
        if not sending.cancelled() and (error := sending.exception()) and not isinstance(error, OSError):
            raise error

    async def _run_producer(self, events: asyncio.Queue[bytes | None], scope: Scope) -> None:
        try:
            await self.produce(lambda event, id_=None: events.put_nowait(encode_event(event, id_)))
        except ServiceError as error:
            self._failed = True
            events.put_nowait(encode_event(error.body()))
        except Exception:
            self._failed = True
            log.exception("A stream failed (request %s)", scope.get("state", {}).get("request_id"))
            events.put_nowait(encode_event(internal_error().body()))
        events.put_nowait(None)

    async def _send(self, events: asyncio.Queue[bytes | None], send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self.retry_s is not None:
            await send({"type": "http.response.body", "body": retry_field(self.retry_s), "more_body": True})
        while True:
            try:
                async with asyncio.timeout(self.keep_alive_s):
                    event = await events.get()
            except TimeoutError:
                event = KEEP_ALIVE_COMMENT
            if event is None:
                break
            if self.on_complete and event is not KEEP_ALIVE_COMMENT:
                self._sent.append(event)
            await send({"type": "http.response.body", "body": event, "more_body": True})
        if self.on_complete and not self._failed:
            # Before the end is sent: who has it may ask again at once.
            then, self.on_complete = self.on_complete, None
            await asyncio.shield(then(b"".join([*self._sent, DONE_EVENT])))
        await send({"type": "http.response.body", "body": self.final_bytes, "more_body": False})
