"""Puts the service together as an ASGI application."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI

from app.api import chat, errors, health, jobs, jobs_protocol, models, summaries
from app.api.middleware import RequestId
from app.audio.pool import Decoder
from app.database.connect import database_url, open_database
from app.engine.base import Engine
from app.engine.load import build_engine
from app.engine.scripted import ScriptedEngine
from app.fetch.fetch import Fetcher
from app.jobs.queue import Jobs
from app.keys.keys import Keys
from app.prompts import PROMPT_FORMAT
from app.served import SCRIPTED, ServedModel
from app.service import Service, StartableDecoder
from app.settings import Settings, setting_name
from model_repo import registry
from model_repo.manifest import Manifest


def create_app(
    settings: Settings,
    engine: Engine | None = None,
    model: ServedModel | None = None,
    decoder: StartableDecoder | None = None,
    on_ready: Callable[[], None] = lambda: None,
    on_failure: Callable[[], None] = lambda: None,
    fetcher: Fetcher | None = None,
) -> FastAPI:
    """The application around the model the settings name, or around `engine` (served as `model`).

    Where the settings name vLLM servers, the model is asked there. `on_ready` or `on_failure` is called once the engine
    is up or cannot be. Raises `registry.UnknownModel` or `registry.RegistryError` for a model that cannot be served,
    ValueError for a key or a host that is none and for servers of the scripted model.
    """
    build: Callable[[], Engine]
    known = registry.list_models(settings.model_repo)
    if engine is not None:
        served, build = model or SCRIPTED, partial(_as_is, engine)
    elif settings.model == SCRIPTED.name:
        if settings.remote.urls:
            raise ValueError(f"no server serves the scripted model: leave {setting_name('remote', 'urls')} empty")
        served, build = SCRIPTED, ScriptedEngine
    else:
        manifest = choose(settings)
        registry.check(manifest, PROMPT_FORMAT)
        served, build = ServedModel.from_manifest(manifest), partial(build_engine, manifest, settings)
    service = Service(
        settings,
        served,
        build,
        decoder or _decoder(settings),
        [ServedModel.from_manifest(manifest) for manifest in known],
        on_ready,
        on_failure,
        fetcher,
    )

    keys = Keys(settings.auth)
    queue = Jobs(settings, partial(jobs.work, service, keys), jobs_protocol.webhook_body, service.started, keys.forget)
    url = database_url(settings.jobs.database.get_secret_value(), settings.jobs.folder)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            await service.start()
            async with AsyncExitStack() as held:
                database = await open_database(url)
                held.push_async_callback(database.dispose)
                keys.open(database)
                held.push_async_callback(queue.stop)
                await queue.start(database)
                yield
        finally:
            await service.stop()

    app = FastAPI(
        title="speechsum", summary="Recorded speech in, a summary out.", version=_version(), lifespan=lifespan
    )
    app.state.service = service
    app.state.jobs = queue
    app.state.keys = keys
    app.add_middleware(RequestId)
    errors.install(app)
    for module in (jobs, summaries, chat, models, health):
        app.include_router(module.router)
    return app


def choose(settings: Settings) -> Manifest:
    """The registry's entry that the settings name, or the best one. Raises `UnknownModel`, `RegistryError`."""
    return (
        registry.resolve(settings.model_repo, settings.model) if settings.model else registry.best(settings.model_repo)
    )


def _as_is(engine: Engine) -> Engine:
    return engine


def _decoder(settings: Settings) -> Decoder:
    return Decoder(
        settings.decoder.workers,
        timeout_s=settings.timeouts.decode_seconds,
        timeout_setting=f"the setting is {setting_name('timeouts', 'decode_seconds')}",
        files_per_worker=settings.decoder.files_per_worker,
        memory_bytes=settings.decoder.memory_bytes,
    )


def _version() -> str:
    try:
        return version("speechsum")
    except PackageNotFoundError:
        return "0+source"
