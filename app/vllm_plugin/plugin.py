"""What vLLM loads under the name `speechsum`: an endpoint plugin (`vllm.plugins.endpoint_plugins`, since vLLM 0.32).

vLLM calls `attach_router` while it builds its application, and `init_state` once its engine runs. Requests below
`PREFIXES` are handed to the service's own application, with its middleware, whole: limits, decoding, windows, streams,
jobs and errors are those of `speechsum serve`. vLLM's middleware has seen them before, so its `--api-key` protects
these routes too. The service starts and stops with vLLM's application, and reads its settings from the environment.

This module imports nothing of vLLM: it only has to have the methods that vLLM calls.
"""

import logging
import os
from argparse import Namespace
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.main import create_app
from app.settings import Settings
from app.vllm_plugin.served_model import find_served_model

log = logging.getLogger("vllm.plugins.speechsum")  # below vLLM's own logger, whose lines are shown

# Everything of the service that vLLM does not have itself.
PREFIXES = ("/v1/audio/summaries", "/v1/recordings", "/v1/templates", "/v1/vocabulary")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
API_KEY_VARIABLE = "VLLM_API_KEY"
ROUTING_KEYS = ("router", "route", "endpoint", "path_params")  # what vLLM's application found out about a request


class SummaryPlugin:
    """The plugin. vLLM creates one in each of its API processes. `service`: the service, once the engine runs."""

    name = "speechsum"
    required_tasks: tuple[str, ...] | None = ("generate",)

    def __init__(self, make_settings: Callable[[], Settings] = Settings) -> None:
        """Create the plugin; nothing is loaded yet. make_settings: reads the service's settings."""
        self._make_settings = make_settings
        self.service: FastAPI | None = None
        self._drops_keys = False

    def attach_router(self, app: FastAPI) -> None:
        """Add the routes, and let the service start and stop with the application."""
        app.router.routes += [
            Route(f"{prefix}{{rest:path}}", _AsgiApp(self.forward), methods=METHODS, name=f"speechsum {prefix}")
            for prefix in PREFIXES
        ]
        outer_lifespan = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan(given: FastAPI) -> AsyncIterator[Any]:
            async with outer_lifespan(given) as state:
                if self.service is None:
                    yield state
                    return
                async with self.service.router.lifespan_context(self.service):
                    yield state

        app.router.lifespan_context = lifespan

    async def init_state(self, engine_client: Any, state: Any, args: Namespace) -> None:
        """Build the service around the engine that vLLM runs.

        Raises:
            ValueError: if the model cannot answer requests for summaries, or the settings do not fit together. vLLM
                then does not start, because it was told to load this plugin.
        """
        if engine_client is None:  # a server that only renders prompts
            return
        settings = self._make_settings()
        config = engine_client.vllm_config
        # The requests that wait are ordered here, by priority, and not in vLLM, which knows no priorities by default.
        at_once = config.scheduler_config.max_num_seqs
        settings = settings.model_copy(
            update={"engine": settings.engine.model_copy(update={"max_num_seqs": at_once}), "models": []}
        )
        served = find_served_model(engine_client, args, settings)
        self._drops_keys = bool(args.api_key or os.environ.get(API_KEY_VARIABLE))
        self.service = create_app(settings, source=lambda name, urls: served)
        log.info("speechsum summarizes with %s at %s.", served.info.id, PREFIXES[0])

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the service answer a request (ASGI)."""
        if self.service is None:
            refusal = {
                "error": {"message": "This server has no engine, so it summarizes nothing.", "code": "no_engine"}
            }
            await JSONResponse(refusal, 503)(scope, receive, send)
            return
        scope = {name: value for name, value in scope.items() if name not in ROUTING_KEYS}
        if self._drops_keys:  # vLLM has checked the key, and the service does not know it
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
        await self.service(scope, receive, send)


class _AsgiApp:
    """A callable object, which Starlette takes for an application; it would take a method for a view of a request."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Any]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
