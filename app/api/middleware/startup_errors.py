"""A start that fails for a reason its operator can mend says so in one sentence, not in a traceback.

Plain ASGI, around the lifespan alone. Knows nothing about what can fail.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class StartupErrorMiddleware:
    """Where the start fails with a ValueError, the server is told its sentence."""

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
                failure = message  # with a traceback; the exception itself comes right after
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
