"""A text that is sent as it is written, in chunks (RFC 9112, 7.1), with nothing between the pieces.

The response starts with the first piece, so that an error before it is answered with its own status, in JSON. A later
error cannot be told in the text: the connection is closed before the last chunk, which every HTTP client reports as an
incomplete answer. Knows nothing about summaries.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.types import Scope, Send

from app.api.error_responses import error_response, internal_error
from app.api.sse import EventStreamResponse
from app.core.errors import ServiceError

log = logging.getLogger(__name__)

WriteText = Callable[[str], None]


async def _produce_no_events(_: object) -> None:
    """Stand in for the producer of events, which a text does not have."""


class TextStreamResponse(EventStreamResponse):
    """Runs `produce_text(write)` and sends the text as it is written. The work is cancelled when the client leaves.

    Args:
        produce_text: returns the headers that are known when the text is complete. They are sent if the text is empty,
            and stored if the response is stored for repeats of the request.
        media_type: of the text, without its charset, which is UTF-8.
        headers: those that are known from the beginning.
    """

    def __init__(
        self, produce_text: Callable[[WriteText], Awaitable[dict[str, str]]], media_type: str, headers: dict[str, str]
    ) -> None:
        super().__init__(_produce_no_events, keep_alive_s=0)
        self.produce_text = produce_text
        self.headers["content-type"] = f"{media_type}; charset=utf-8"
        # Without it, a browser holds the first pieces back to guess their type.
        self.headers["x-content-type-options"] = "nosniff"
        self.headers.update(headers)
        self._error: ServiceError | None = None
        self._scope: Scope = {"type": "http"}

    async def _run_producer(self, events: asyncio.Queue[bytes | None], scope: Scope) -> None:
        self._scope = scope
        try:
            self.headers.update(
                await self.produce_text(lambda text: events.put_nowait(text.encode("utf-8", "replace")))
            )
        except ServiceError as error:
            self._error = error
        except Exception:
            log.exception("A stream failed (request %s)", self._request_id)
            self._error = internal_error()
        events.put_nowait(None)

    async def _send(self, events: asyncio.Queue[bytes | None], send: Send) -> None:
        piece = await events.get()
        if piece is None and self._error:
            await error_response(self._error)(self._scope, _receive_disconnect, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while piece is not None:
            if self.on_complete:
                self._sent_events.append(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await events.get()
        if self._error:
            log.warning("A text stream was cut off: %s (request %s)", self._error.message, self._request_id)
            return  # without the end of the body, so that the server closes the connection
        await self._complete(b"".join(self._sent_events))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    @property
    def _request_id(self) -> str | None:
        request_id: str | None = self._scope.get("state", {}).get("request_id")
        return request_id


async def _receive_disconnect() -> dict[str, str]:
    return {"type": "http.disconnect"}
