"""What the service consists of, and its life: starting, ready, failed, stopped.

The engine loads in the background while `/livez` already answers; ready is only who has taken one recording all the
way. Knows nothing about HTTP.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

from app import metrics
from app.admission import Admission
from app.engine.base import Engine
from app.errors import EngineDead, ServiceError, Unavailable
from app.fetch.fetch import Fetcher
from app.served import ServedModel
from app.settings import Settings
from app.summarize import AudioDecoder, Summarizer
from app.warm_up import warm_up

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 15  # between two lines that say it is still loading


class StartableDecoder(AudioDecoder, Protocol):
    """A decoder with a life of its own, such as `app.audio.pool.Decoder`."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Service:
    """The parts of one running service.

    build: makes the engine; runs in a thread, since it may fetch and assemble a checkpoint for minutes.
    on_ready, on_failure: one of them is called once, when starting has ended. fetcher: what fetches recordings by URL;
    as the settings say if left out, and ValueError if they make no sense.
    """

    def __init__(
        self,
        settings: Settings,
        model: ServedModel,
        build: Callable[[], Engine],
        decoder: StartableDecoder,
        registry: list[ServedModel],
        on_ready: Callable[[], None] = lambda: None,
        on_failure: Callable[[], None] = lambda: None,
        fetcher: Fetcher | None = None,
    ) -> None:
        self.settings = settings
        self.model = model
        self.build = build
        self.decoder = decoder
        self.models = registry if any(known.id == model.id for known in registry) else [model, *registry]
        self.admission = Admission(settings)
        self.fetcher = fetcher or Fetcher(settings)
        self.on_ready, self.on_failure = on_ready, on_failure
        self.ready = False
        self.failure: str | None = None
        self._engine: Engine | None = None
        self._summarizer: Summarizer | None = None
        self._starting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the decoder, and in the background the engine."""
        metrics.announce_model(self.model.name, self.model.version, self.model.kind)
        await self.decoder.start()
        self._starting = asyncio.create_task(self._start_engine())

    async def started(self) -> None:
        """Wait until starting has ended, ready or failed."""
        if self._starting is not None:
            await asyncio.wait({self._starting})

    async def stop(self) -> None:
        """Stop the engine and the decoder. Harmless twice."""
        self.ready = False
        metrics.READY.set(0)
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        if self._engine is not None:
            await self._engine.stop()
        await self.decoder.stop()
        self.fetcher.close()

    @property
    def summarizer(self) -> Summarizer:
        """What makes summaries. Raises `Unavailable` (503) until the engine is built."""
        if self._summarizer is None:
            raise self._not_ready()
        return self._summarizer

    async def check_live(self) -> None:
        """Raise `EngineDead` if the engine can answer nothing any more and a restart is the only help."""
        if self.failure is not None:
            raise EngineDead(self.failure, code="engine_failed")
        if self.ready and self._engine is not None:
            try:
                await self._engine.check_health()
            except EngineDead:
                metrics.READY.set(0)
                raise
            metrics.READY.set(1)  # again, if the engine is in servers of its own that were gone for a while

    async def check_ready(self) -> None:
        """Raise `Unavailable` (503) unless a request would be served now."""
        await self.check_live()
        if not self.ready:
            raise self._not_ready()

    def _not_ready(self) -> Unavailable:
        return Unavailable(
            f"{self.model.id} is still being loaded. Try again shortly.",
            code="not_ready",
            retry_after_s=self.settings.limits.retry_after_seconds,
        )

    async def _start_engine(self) -> None:
        began = time.perf_counter()
        if urls := self.settings.remote.urls:
            log.info("waiting for %s at %s", self.model.id, ", ".join(urls))
        else:
            log.info("loading %s; this takes a minute or two", self.model.id)
        waiting = asyncio.create_task(self._say_loading(began))
        try:
            self._engine = await _in_thread(self.build)
            await self._engine.start()
            self._summarizer = Summarizer(self.settings, self.model, self._engine, self.decoder)
            await warm_up(self._summarizer)
        except ServiceError as error:
            self.failure = error.message
            log.error("%s could not be started: %s", self.model.id, error.message)
        except Exception:
            self.failure = f"{self.model.id} could not be started; the log says why."
            log.exception("%s could not be started", self.model.id)
        else:
            self.ready = True
            metrics.READY.set(1)
            log.info("%s is ready after %.1f s", self.model.id, time.perf_counter() - began)
        finally:
            waiting.cancel()
        (self.on_ready if self.ready else self.on_failure)()

    async def _say_loading(self, began: float) -> None:
        while True:
            await asyncio.sleep(PATIENCE_SECONDS)
            log.info("%s is still loading after %.0f s", self.model.id, time.perf_counter() - began)


async def _in_thread(build: Callable[[], Engine]) -> Engine:
    """Run `build` in a thread that does not keep the process: Ctrl-C must not wait for minutes of assembly."""
    loop = asyncio.get_running_loop()
    built: asyncio.Future[Engine] = loop.create_future()

    def run() -> None:
        try:
            settle = partial(built.set_result, build())
        except Exception as error:
            settle = partial(built.set_exception, error)
        with suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(lambda: None if built.done() else settle())

    threading.Thread(target=run, name="build-engine", daemon=True).start()
    return await built
