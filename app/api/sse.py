"""Server-sent events (WHATWG HTML, 9.2) as the OpenAI clients read them: JSON in every data line, `[DONE]` last.

Once the response has started, an error is sent as the event `{"error": {…}}`. While there is no event to send, comment
lines keep proxies from closing the connection. Knows nothing about summaries.
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
    """Queues one event for sending. A client that connects again sends the `id_` of the last event that it received, as
    `Last-Event-ID`.
    """

    def __call__(self, event: BaseModel, id_: str | None = None) -> None: ...


def encode_event(data: BaseModel | dict[str, Any], id_: str | None = None) -> bytes:
    """Return one event, encoded. It is ASCII, since some parsers end a line at U+2028 or U+0085, which JSON allows."""
    plain = data.model_dump(mode="json") if isinstance(data, BaseModel) else data
    id_line = b"" if id_ is None else b"id: " + id_.encode("ascii") + b"\n"
    return id_line + b"data: " + json.dumps(plain, separators=(",", ":")).encode("ascii") + b"\n\n"


def retry_field(seconds: float) -> bytes:
    """Return the field that tells a client how long to wait before it connects again."""
    return f"retry: {round(seconds * 1000)}\n\n".encode("ascii")


class EventStreamResponse(Response):
    """Runs `produce(send_event)` and sends the events as they come. The work is cancelled when the client leaves.

    on_complete: if set, called with everything that is sent, just before the end is sent; or with None if the work
    failed or the client left. final_bytes: what is sent last.

    Args:
        keep_alive_s: seconds without an event after which a comment is sent.
        retry_s: seconds after which a client that lost the connection should connect again; not sent if None.
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
        self._sent_events: list[bytes] = []
        self._failed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Unbounded, so that the work never waits for a client that reads slowly.
        events: asyncio.Queue[bytes | None] = asyncio.Queue()
        producer = asyncio.create_task(self._run_producer(events, scope))
        sender = asyncio.create_task(self._send(events, send))
        disconnect = asyncio.create_task(wait_for_disconnect(receive))
        try:
            await asyncio.wait({sender, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(producer, sender, disconnect)
            if self.on_complete:
                await asyncio.shield(self.on_complete(None))
        # Some servers raise an OSError from `send` if the client has left.
        if not sender.cancelled() and (error := sender.exception()) and not isinstance(error, OSError):
            raise error

    async def _run_producer(self, events: asyncio.Queue[bytes | None], scope: Scope) -> None:
        """Put the events into the queue, an error as the last one, and None behind them."""
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
                self._sent_events.append(event)
            await send({"type": "http.response.body", "body": event, "more_body": True})
        if not self._failed:
            await self._complete(b"".join([*self._sent_events, DONE_EVENT]))
        await send({"type": "http.response.body", "body": self.final_bytes, "more_body": False})

    async def _complete(self, body: bytes) -> None:
        """Call `on_complete` before the end of the body is sent, after which the client may repeat the request."""
        if self.on_complete:
            on_complete, self.on_complete = self.on_complete, None
            await asyncio.shield(on_complete(body))
