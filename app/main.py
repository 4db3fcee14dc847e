"""Builds the ASGI application of the service from the settings."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from app import metrics
from app.api import (
    admin,
    chat,
    docs,
    error_responses,
    health,
    jobs,
    jobs_protocol,
    models,
    openapi_document,
    page,
    recordings,
    summaries,
    templates,
    vocabulary,
)
from app.api.job_work import process_job
from app.api.middleware.cors import allow_origins
from app.api.middleware.drain_body import DrainRequestBody
from app.api.middleware.method_aliases import MethodAliases
from app.api.middleware.observe import ObserveMiddleware
from app.api.middleware.request_id import RequestIdMiddleware
from app.api.middleware.startup_errors import StartupErrorMiddleware
from app.api.openapi import operation_id
from app.concurrency import cancel_and_wait
from app.database.connection import configured_url, open_database
from app.engine.base import Engine
from app.engine.model_info import SCRIPTED_MODEL, ModelInfo
from app.fetch.fetcher import Fetcher
from app.jobs.queue import JobQueue
from app.keys.authenticator import Authenticator
from app.models.model_source import LoadableModel, ModelSource, find_model
from app.server.disk_metrics import watch_disks
from app.server.shutdown import DrainEvent, StopEvent, watch_signals
from app.service import Service, StartableDecoder
from app.setting_types import DEFAULT_WEIGHT, parse_pair, parse_weighted_model
from app.settings import Settings, setting_name
from app.telemetry.tracing import check_tracing, start_tracing, stop_tracing
from app.templates.store import TemplateStore
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
    """Return the application around the model that the settings name, or around `engine`, served as `model`.

    If the settings name vLLM servers, these run the models.

    Args:
        engine: an engine to use as it is, in place of the settings' model.
        model: what the engine is listed as; the scripted model by default.
        decoder: decodes recordings; a pool of worker processes by default.
        on_ready: is called once the first model can answer.
        on_failure: is called instead if the first model cannot be started.
        fetcher: fetches recordings by URL; by default as the settings say.
        source: finds models; by default in the registry, or a checkpoint's folder.

    Raises:
        registry.UnknownModel, registry.RegistryError: if a model cannot be served.
        ValueError: if a key, a host or an adapter's name is not valid, the settings name a model twice, they name
            servers for the scripted model, or they ask for traces without OpenTelemetry.
    """
    check_tracing(settings.tracing)
    source = source or partial(find_model, settings)
    registered = [
        ModelInfo.from_manifest(manifest)
        for manifest in registry.comparable_manifests(registry.list_models(settings.model_repo))
    ]
    first = (
        source(settings.model, ())
        if engine is None
        else LoadableModel(model or SCRIPTED_MODEL, partial(_return_engine, engine))
    )
    weight, further = _weighted_models(settings, source, first)
    adapters = _configured_adapters(settings, [first.info, *registered, *(loadable.info for loadable, _ in further)])
    service = Service(
        settings,
        replace(first, adapters=adapters),
        decoder or make_decoder(settings),
        registered,
        source,
        weight,
        further,
        on_ready,
        on_failure,
        fetcher,
    )

    keys = Authenticator(settings.auth)
    template_store = TemplateStore(settings.limits.templates)
    queue = JobQueue(
        settings,
        partial(process_job, service, keys, template_store),
        jobs_protocol.webhook_body,
        service.wait_until_started,
        keys.delete_expired,
    )
    url = configured_url(settings.jobs)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.stopping = StopEvent()
        app.state.draining = DrainEvent(settings.timeouts.drain_seconds)
        start_tracing(settings.tracing)
        metrics.DRAINING.set_function(app.state.draining.is_set)
        watch_disks(settings)
        try:
            async with AsyncExitStack() as resources:
                resources.enter_context(watch_signals(app.state.draining))
                try:
                    database = await open_database(url)  # before the models, which take long to load
                except ValueError as error:
                    service.failure = str(error)
                    raise
                resources.push_async_callback(database.dispose)
                await service.start()
                keys.connect(database)
                template_store.connect(database)
                resources.push_async_callback(queue.stop)
                await queue.start(database)
                draining = asyncio.create_task(_leave_work(app.state.draining, app.state.stopping, queue))
                resources.push_async_callback(cancel_and_wait, draining)
                yield
                app.state.stopping.set()
        finally:
            await service.stop()
            await asyncio.to_thread(stop_tracing)

    app = FastAPI(
        title="speechsum",
        summary="Recorded speech in, a summary out.",
        version=package_version(),
        lifespan=lifespan,
        docs_url=None,  # `app.api.docs` serves the page; FastAPI's own loads its scripts from another host
        redoc_url=None,
        generate_unique_id_function=operation_id,
        root_path=settings.server.root_path,
    )
    app.state.service = service
    app.state.jobs = queue
    app.state.keys = keys
    app.state.templates = template_store
    app.add_middleware(MethodAliases)
    app.add_middleware(RequestIdMiddleware)
    app.add_middleware(ObserveMiddleware, log_requests=settings.log_format == "json")
    app.add_middleware(DrainRequestBody)
    app.add_middleware(StartupErrorMiddleware)
    allow_origins(app, settings.server.cors_origins)
    error_responses.install_error_handlers(app)
    app.router.routes.extend(_routes())
    openapi_document.install_openapi(app, lambda: service.models.default_name)
    return app


async def _leave_work(draining: DrainEvent, stopping: StopEvent, queue: JobQueue) -> None:
    """Claim no more jobs once the service drains, and hand back those in progress once it stops."""
    await draining.wait()
    queue.stop_claiming()
    await stopping.wait_with_timeout(draining.delay_s)
    stopping.set()
    await queue.hand_back()


@cache
def _routes() -> list[BaseRoute]:
    """Return the routes of all modules. They belong to no application, and take longer to build than all the rest of
    one: a process builds them once.
    """
    router = APIRouter(generate_unique_id_function=operation_id)
    for module in (jobs, summaries, chat, recordings, templates, vocabulary, models, admin, health, docs, page):
        router.include_router(module.router)
    return router.routes


def _weighted_models(
    settings: Settings, source: ModelSource, first: LoadableModel
) -> tuple[float, list[tuple[LoadableModel, float]]]:
    """Return the first model's weight, and the further models with theirs."""
    weighted = [
        (first if name == first.info.id else source(name, ()), weight)
        for name, weight in map(parse_weighted_model, settings.models)
    ]
    ids = [loadable.info.id for loadable, _ in weighted]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{setting_name('models')} names a model twice")
    weights = {first.info.id: DEFAULT_WEIGHT} | {loadable.info.id: weight for loadable, weight in weighted}
    if not any(weight for id_, weight in weights.items() if id_.partition("@")[0] == first.info.name):
        raise ValueError(
            f"{setting_name('models')} gives every version of {first.info.name} the weight 0, so nothing would answer "
            "requests that name no model"
        )
    further = [(loadable, weight) for loadable, weight in weighted if loadable.info.id != first.info.id]
    return weights[first.info.id], further


def _configured_adapters(settings: Settings, models: Iterable[ModelInfo]) -> tuple[tuple[str, Path | None], ...]:
    """Return names and folders of the adapters that are loaded with the first model."""
    adapters = [parse_pair(entry) for entry in settings.adapters.served]
    conflicts = {model.name for model in models} & {name for name, _ in adapters}
    if conflicts:
        raise ValueError(f"{setting_name('adapters', 'served')}: {min(conflicts)} is the name of a model")
    return tuple((name, Path(folder) if folder else None) for name, folder in adapters)


def _return_engine(engine: Engine) -> Engine:
    return engine


def make_decoder(settings: Settings) -> DecoderPool:
    """Return the worker processes that decode recordings, as the settings want them; not started yet."""
    return DecoderPool(
        settings.decoder.workers,
        max_paused=settings.decoder.paused,
        timeout_s=settings.timeouts.decode_seconds,
        timeout_setting=f"the setting is {setting_name('timeouts', 'decode_seconds')}",
        files_per_worker=settings.decoder.files_per_worker,
        memory_bytes=settings.decoder.memory_bytes,
    )
