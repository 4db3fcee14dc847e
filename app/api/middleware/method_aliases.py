"""Methods that mean one of the routes' own: HEAD is a GET without the body (RFC 9110, 9.3.2), and `curl -T` sends a
recording with PUT, under the file's name where the address ends with a slash.

Plain ASGI. Knows nothing about what the routes do.
"""

import re

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Where a recording can be sent with PUT; a file's name may follow.
_UPLOAD_PATHS = re.compile(r"(/v1/audio/summaries/jobs|/v1/audio/summaries)(/[^/]*)?")


def alias_methods(path: str, methods: set[str]) -> set[str]:
    """The methods that a route's path can be asked with, beyond its own."""
    more = {"HEAD"} if "GET" in methods else set()
    return more | ({"PUT"} if "POST" in methods and _UPLOAD_PATHS.fullmatch(path) else set())


class MethodAliases:
    """Passes HEAD on as GET, and PUT of a recording as POST."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self._respond_to_head({**scope, "method": "GET"}, receive, send)
            return
        if scope["type"] == "http" and scope["method"] == "PUT":
            path = get_route_path(scope)
            if found := _UPLOAD_PATHS.fullmatch(path):
                prefix = scope["path"].removesuffix(path)
                scope = {**scope, "method": "POST", "path": prefix + found[1]}
        await self.app(scope, receive, send)

    async def _respond_to_head(self, scope: Scope, receive: Receive, send: Send) -> None:
        ended = False

        async def send_head(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def receive_until_ended() -> Message:
            # What would go on sending, such as a stream of events, is told that nobody listens.
            return {"type": "http.disconnect"} if ended else await receive()

        await self.app(scope, receive_until_ended, send_head)
