"""Reports a failed start in one sentence, and not in a traceback, if the operator can correct the cause.

Plain ASGI, around the lifespan only. Knows nothing about what can fail.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class StartupErrorMiddleware:
    """If the start fails with a ValueError, passes the error's message alone to the server."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        failure: Message | None = None

        async def hold_failure(message: Message) -> None:
            nonlocal failure
            if message["type"] == "lifespan.startup.failed":
                failure = message  # it has a traceback; the exception itself follows
                return
            await send(message)

        try:
            await self.app(scope, receive, hold_failure)
        except BaseException as error:
            if failure is None:
                raise
            if isinstance(error, ValueError):
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send(failure)
            raise
