"""Puts the service together as an ASGI application."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from fastapi import FastAPI

from app.api import admin, chat, docs, error_responses, health, jobs, jobs_protocol, models, openapi_document, summaries
from app.api.middleware.cors import allow_origins
from app.api.middleware.drain_body import LingeringClose
from app.api.middleware.method_aliases import MethodAliases
from app.api.middleware.request_id import RequestId
from app.api.middleware.startup_errors import PlainStartupFailure
from app.api.openapi import operation_id
from app.database.connection import open_database, url_of
from app.engine.base import Engine
from app.engine.model_info import SCRIPTED, ServedModel
from app.fetch.fetcher import Fetcher
from app.jobs.queue import Jobs
from app.keys.authenticator import Keys
from app.models.model_source import Loadable, Source, from_registry
from app.server.shutdown import Stopping, watch_signals
from app.service import Service, StartableDecoder
from app.setting_types import DEFAULT_WEIGHT, pair, weighted
from app.settings import Settings, setting_name
from app.version import package_version
from app.workers.decoder_pool import Decoder
from model_repo import registry


def create_app(
    settings: Settings,
    engine: Engine | None = None,
    model: ServedModel | None = None,
    decoder: StartableDecoder | None = None,
    on_ready: Callable[[], None] = lambda: None,
    on_failure: Callable[[], None] = lambda: None,
    fetcher: Fetcher | None = None,
    source: Source | None = None,
) -> FastAPI:
    """The application around the model the settings name, or around `engine` (served as `model`).

    Where the settings name vLLM servers, models are asked there. `on_ready` or `on_failure` is called once the first
    model is up or cannot be. source: where models are found, if not in the registry. Raises `registry.UnknownModel` or
    `registry.RegistryError` for a model that cannot be served, ValueError for a key, a host or an adapter's name that
    is none, for a model that stands in the settings twice and for servers of the scripted model.
    """
    source = source or partial(from_registry, settings)
    known = [
        ServedModel.from_manifest(manifest)
        for manifest in registry.comparable(registry.list_models(settings.model_repo))
    ]
    first = source(settings.model, ()) if engine is None else Loadable(model or SCRIPTED, partial(_as_is, engine))
    weight, further = _weighted(settings, source, first)
    service = Service(
        settings,
        replace(first, adapters=_adapters(settings, [first.served, *known, *(what.served for what, _ in further)])),
        decoder or _decoder(settings),
        known,
        source,
        weight,
        further,
        on_ready,
        on_failure,
        fetcher,
    )

    keys = Keys(settings.auth)
    queue = Jobs(settings, partial(jobs.work, service, keys), jobs_protocol.webhook_body, service.started, keys.forget)
    url = url_of(settings.jobs)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.stopping = Stopping()
        try:
            async with AsyncExitStack() as held:
                held.enter_context(watch_signals(app.state.stopping))
                try:
                    database = await open_database(url)  # first: loading the models takes long
                except ValueError as error:
                    service.failure = str(error)
                    raise
                held.push_async_callback(database.dispose)
                await service.start()
                keys.open(database)
                held.push_async_callback(queue.stop)
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
    app.add_middleware(RequestId)
    app.add_middleware(LingeringClose)
    app.add_middleware(PlainStartupFailure)
    allow_origins(app, settings.server.cors_origins)
    error_responses.install(app)
    for module in (jobs, summaries, chat, models, admin, health, docs):
        app.include_router(module.router)
    openapi_document.install(app, lambda: service.models.default)
    return app


def _weighted(settings: Settings, source: Source, first: Loadable) -> tuple[float, list[tuple[Loadable, float]]]:
    """The first model's weight, and the further models with theirs."""
    found = [
        (first if name == first.served.id else source(name, ()), weight)
        for name, weight in map(weighted, settings.models)
    ]
    ids = [what.served.id for what, _ in found]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{setting_name('models')} names a model twice")
    weights = {first.served.id: DEFAULT_WEIGHT} | {what.served.id: weight for what, weight in found}
    if not any(weight for id_, weight in weights.items() if id_.partition("@")[0] == first.served.name):
        raise ValueError(f"by {setting_name('models')} nothing answers requests that name no model: all weigh 0")
    further = [(what, weight) for what, weight in found if what.served.id != first.served.id]
    return weights[first.served.id], further


def _adapters(settings: Settings, models: Iterable[ServedModel]) -> tuple[tuple[str, Path | None], ...]:
    """Names and folders of the adapters to load with the first model."""
    named = [pair(entry) for entry in settings.adapters.served]
    taken = {model.name for model in models} & {name for name, _ in named}
    if taken:
        raise ValueError(f"{setting_name('adapters', 'served')}: {min(taken)} is the name of a model")
    return tuple((name, Path(folder) if folder else None) for name, folder in named)


def _as_is(engine: Engine) -> Engine:
    return engine


def _decoder(settings: Settings) -> Decoder:
    return Decoder(
        settings.decoder.workers,
        paused=settings.decoder.paused,
        timeout_s=settings.timeouts.decode_seconds,
        timeout_setting=f"the setting is {setting_name('timeouts', 'decode_seconds')}",
        files_per_worker=settings.decoder.files_per_worker,
        memory_bytes=settings.decoder.memory_bytes,
    )
