"""Keeps a connection open while a refused body is still coming, so that the refusal is read.

Closing a socket that has unread bytes resets it, and a reset throws away what the other end has not read yet: nginx
then answers 502 where the service had said 413. nginx calls the cure `lingering_close`. Plain ASGI.
"""

import asyncio
import contextlib

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_DRAIN_SECONDS = 5.0  # the longest; who reads an answer before the end of their upload leaves, which ends it sooner


class DrainRequestBody:
    """Sends an answer at once, and reads and drops what is left of the request's body before calling it complete."""

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
