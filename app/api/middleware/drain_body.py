"""Keeps a connection open while the body of a refused request is still arriving, so that the client reads the error.

Closing a socket that has unread bytes resets the connection, and the client then loses what it has not read yet: nginx
in front of the service answers 502 instead of the service's 413. nginx calls the same measure `lingering_close`
(https://nginx.org/en/docs/http/ngx_http_core_module.html#lingering_close). Plain ASGI. Knows nothing about the routes.
"""

import asyncio
import contextlib

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Usually it is shorter, because a client that has read the error closes the connection.
MAX_DRAIN_SECONDS = 5.0


class DrainRequestBody:
    """Sends a response at once, but reads and drops the rest of the request's body before it ends the response.

    seconds: how long to read on at most; `MAX_DRAIN_SECONDS` if None.
    """

    def __init__(self, app: ASGIApp, seconds: float | None = None) -> None:
        self.app = app
        self.seconds = MAX_DRAIN_SECONDS if seconds is None else seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

        async def receive_and_track_end() -> Message:
            nonlocal unread
            message = await receive()
            unread = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def send_then_drain(message: Message) -> None:
            if unread and message["type"] == "http.response.body" and not message.get("more_body", False):
                await send({**message, "more_body": True})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.seconds):
                        while unread:
                            await receive_and_track_end()
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self.app(scope, receive_and_track_end, send_then_drain)
