"""The deployment that callers talk to: the whole service of `app.main`, whose models are in other deployments."""

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.admission.controller import AdmissionController
from app.main import create_app
from app.models.model_source import ModelSource
from app.service import Service
from app.settings import Settings

QUEUED_AUDIO = "queued_audio_seconds"  # the metric by which the application grows and shrinks


class Ingress:
    """One replica of the service.

    Args:
        settings: The settings of the service.
        make_source: Makes what finds the model, whose engine asks other deployments, out of their handles.
        handles: Serve's handles of these deployments.
    """

    def __init__(self, settings: Settings, make_source: Callable[..., ModelSource], *handles: Any) -> None:
        self._app = create_app(settings, source=make_source(settings, *handles))
        self._admission: AdmissionController = self._app.state.service.admission

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return the application, which Serve starts before it sends requests."""
        return ReadyAtStartup(self._app)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Return the seconds of audio that this replica has in work, of requests and of jobs."""
        return {QUEUED_AUDIO: self._admission.audio_seconds + self._admission.background_audio_seconds}


class ReadyAtStartup:
    """An ASGI application whose start-up lasts until the service is ready.

    Otherwise a new replica would get requests, and refuse them, while its model is being warmed up.
    """

    def __init__(self, app: Starlette) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection, or the life of the application."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_when_ready(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                service: Service = self._app.state.service
                await service.wait_until_started()
                if service.failure is not None:
                    message = {"type": "lifespan.startup.failed", "message": service.failure}
            await send(message)

        await self._app(scope, receive, send_when_ready)
