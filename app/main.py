"""Puts the service together as an ASGI application."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from fastapi import FastAPI

from app.api import admin, chat, docs, error_responses, health, jobs, jobs_protocol, models, openapi_document, summaries
from app.api.middleware.cors import allow_origins
from app.api.middleware.drain_body import DrainRequestBody
from app.api.middleware.method_aliases import MethodAliases
from app.api.middleware.request_id import RequestIdMiddleware
from app.api.middleware.startup_errors import StartupErrorMiddleware
from app.api.openapi import operation_id
from app.database.connection import configured_url, open_database
from app.engine.base import Engine
from app.engine.model_info import SCRIPTED_MODEL, ModelInfo
from app.fetch.fetcher import Fetcher
from app.jobs.queue import JobQueue
from app.keys.authenticator import Authenticator
from app.models.model_source import LoadableModel, ModelSource, find_model
from app.server.shutdown import StopEvent, watch_signals
from app.service import Service, StartableDecoder
from app.setting_types import DEFAULT_WEIGHT, parse_pair, parse_weighted_model
from app.settings import Settings, setting_name
from app.version import package_version
from app.workers.decoder_pool import DecoderPool
from model_repo import registry


def create_app(
    settings: Settings,
    engine: Engine | None = None,
    model: ModelInfo | None = None,
    decoder: StartableDecoder | None = None,
    on_ready: Callable[[], None] = lambda: None,
    on_failure: Callable[[], None] = lambda: None,
    fetcher: Fetcher | None = None,
    source: ModelSource | None = None,
) -> FastAPI:
    """The application around the model the settings name, or around `engine` (served as `model`).

    Where the settings name vLLM servers, models are asked there. `on_ready` or `on_failure` is called once the first
    model is up or cannot be. source: where models are found, if not in the registry. Raises `registry.UnknownModel` or
    `registry.RegistryError` for a model that cannot be served, ValueError for a key, a host or an adapter's name that
    is none, for a model that stands in the settings twice and for servers of the scripted model.
    """
    source = source or partial(find_model, settings)
    known = [
        ModelInfo.from_manifest(manifest)
        for manifest in registry.comparable_manifests(registry.list_models(settings.model_repo))
    ]
    first = (
        source(settings.model, ())
        if engine is None
        else LoadableModel(model or SCRIPTED_MODEL, partial(_return_engine, engine))
    )
    weight, further = _weighted_models(settings, source, first)
    service = Service(
        settings,
        replace(
            first, adapters=_configured_adapters(settings, [first.info, *known, *(what.info for what, _ in further)])
        ),
        decoder or _make_decoder(settings),
        known,
        source,
        weight,
        further,
        on_ready,
        on_failure,
        fetcher,
    )

    keys = Authenticator(settings.auth)
    queue = JobQueue(
        settings,
        partial(jobs.process_job, service, keys),
        jobs_protocol.webhook_body,
        service.wait_until_started,
        keys.delete_expired,
    )
    url = configured_url(settings.jobs)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.stopping = StopEvent()
        try:
            async with AsyncExitStack() as resources:
                resources.enter_context(watch_signals(app.state.stopping))
                try:
                    database = await open_database(url)  # first: loading the models takes long
                except ValueError as error:
                    service.failure = str(error)
                    raise
                resources.push_async_callback(database.dispose)
                await service.start()
                keys.connect(database)
                resources.push_async_callback(queue.stop)
                await queue.start(database)
                yield
        finally:
            await service.stop()

    app = FastAPI(
        title="speechsum",
        summary="Recorded speech in, a summary out.",
        version=package_version(),
        lifespan=lifespan,
        docs_url=None,  # `app.api.docs` serves the page, which otherwise loads its scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=operation_id,
        root_path=settings.server.root_path,
    )
    app.state.service = service
    app.state.jobs = queue
    app.state.keys = keys
    app.add_middleware(MethodAliases)
    app.add_middleware(RequestIdMiddleware)
    app.add_middleware(DrainRequestBody)
    app.add_middleware(StartupErrorMiddleware)
    allow_origins(app, settings.server.cors_origins)
    error_responses.install_error_handlers(app)
    for module in (jobs, summaries, chat, models, admin, health, docs):
        app.include_router(module.router)
    openapi_document.install_openapi(app, lambda: service.models.default_name)
    return app


def _weighted_models(
    settings: Settings, source: ModelSource, first: LoadableModel
) -> tuple[float, list[tuple[LoadableModel, float]]]:
    """The first model's weight, and the further models with theirs."""
    found = [
        (first if name == first.info.id else source(name, ()), weight)
        for name, weight in map(parse_weighted_model, settings.models)
    ]
    ids = [what.info.id for what, _ in found]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{setting_name('models')} names a model twice")
    weights = {first.info.id: DEFAULT_WEIGHT} | {what.info.id: weight for what, weight in found}
    if not any(weight for id_, weight in weights.items() if id_.partition("@")[0] == first.info.name):
        raise ValueError(f"by {setting_name('models')} nothing answers requests that name no model: all weigh 0")
    further = [(what, weight) for what, weight in found if what.info.id != first.info.id]
    return weights[first.info.id], further


def _configured_adapters(settings: Settings, models: Iterable[ModelInfo]) -> tuple[tuple[str, Path | None], ...]:
    """Names and folders of the adapters to load with the first model."""
    named = [parse_pair(entry) for entry in settings.adapters.served]
    taken = {model.name for model in models} & {name for name, _ in named}
    if taken:
        raise ValueError(f"{setting_name('adapters', 'served')}: {min(taken)} is the name of a model")
    return tuple((name, Path(folder) if folder else None) for name, folder in named)


def _return_engine(engine: Engine) -> Engine:
    return engine


def _make_decoder(settings: Settings) -> DecoderPool:
    return DecoderPool(
        settings.decoder.workers,
        max_paused=settings.decoder.paused,
        timeout_s=settings.timeouts.decode_seconds,
        timeout_setting=f"the setting is {setting_name('timeouts', 'decode_seconds')}",
        files_per_worker=settings.decoder.files_per_worker,
        memory_bytes=settings.decoder.memory_bytes,
    )
