"""HTTP methods that stand for a method of a route: HEAD is GET without the body (RFC 9110, 9.3.2), and PUT of a
recording is POST.

`curl -T` sends a file with PUT, and appends the file's name to a URL that ends with a slash. Plain ASGI. Knows nothing
about what the routes do.
"""

import re

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The paths to which a recording can be sent with PUT; a file's name may follow.
_UPLOAD_PATHS = re.compile(r"(/v1/audio/summaries/jobs|/v1/audio/summaries)(/[^/]*)?")


def alias_methods(path: str, methods: set[str]) -> set[str]:
    """Return the methods that stand for one of a route's own methods. path: the path of the route."""
    aliases = {"HEAD"} if "GET" in methods else set()
    return aliases | ({"PUT"} if "POST" in methods and _UPLOAD_PATHS.fullmatch(path) else set())


class MethodAliases:
    """Passes HEAD on as GET, and PUT of a recording as POST."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        original = scope
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
            await self._respond_to_head(scope, receive, send)
            if "route" in scope:
                original["route"] = scope["route"]
            return
        if scope["type"] == "http" and scope["method"] == "PUT":
            path = get_route_path(scope)
            if found := _UPLOAD_PATHS.fullmatch(path):
                prefix = scope["path"].removesuffix(path)
                scope = {**scope, "method": "POST", "path": prefix + found[1]}
        try:
            await self.app(scope, receive, send)
        finally:
            if "route" in scope:  # for the middleware around this one, which sees the scope as it was
                original["route"] = scope["route"]

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
            # A response that would go on, such as a stream of events, is told that the client has left.
            return {"type": "http.disconnect"} if ended else await receive()

        await self.app(scope, receive_until_ended, send_head)
