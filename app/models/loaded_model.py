"""One loaded model and its life: loading, ready, draining, unloaded; or failed.

It counts the requests inside it, and its engine ends only when the last has left. Knows nothing about other models,
HTTP or audio.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from functools import partial
from itertools import count
from pathlib import Path

from app.core.errors import EngineDead, ServiceError
from app.engine.base import Adapter, Engine
from app.engine.model_info import ModelInfo
from app.models.model_source import LoadableModel
from app.models.warm_up import warm_up
from app.summarize.pipeline import Summarizer

log = logging.getLogger(__name__)

_adapter_ids = count(1)  # of adapters; each is loaded under a number of its own
LOADING_LOG_SECONDS = 15  # between two lines that say it is still loading


class State(StrEnum):
    """Where a model is in its life. FAILED: it could not be loaded, or its engine can answer nothing any more."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"
    UNLOADED = "unloaded"


class LoadedModel:
    """One version of one model. weight: its share of the requests that name no version. why: what made it fail. inside:
    requests in it now. For one event loop.
    """

    def __init__(self, what: LoadableModel, weight: float) -> None:
        self.info: ModelInfo = what.info
        self.weight = weight
        self.state = State.LOADING
        self.fault = ""
        self.active_requests = 0
        self.engine: Engine | None = None
        self.summarizer: Summarizer | None = None
        self.on_state_change: Callable[[], None] = lambda: None  # called at each new state
        self.adapters: dict[str, Adapter] = {}
        self._requests_by_adapter: Counter[int] = Counter()  # requests by the number of their adapter
        self._loadable = what
        self._request_left = asyncio.Event()

    @property
    def id(self) -> str:
        """`name@version`."""
        return self.info.id

    async def load(self, summarizer: Callable[[ModelInfo, Engine], Summarizer]) -> None:
        """Build and start the engine, and take one recording all the way. Failing is a state, not an exception."""
        began = time.perf_counter()
        if self._loadable.location:
            log.info("waiting for %s at %s", self.id, self._loadable.location)
        else:
            log.info("loading %s; this takes a minute or two", self.id)
        waiting = asyncio.create_task(self._log_loading(began))
        try:
            self.engine = await _build_in_thread(self._loadable.build_engine)
            await self.engine.start()
            for name, folder in self._loadable.adapters:
                await self.add_adapter(name, folder)
            made = summarizer(self.info, self.engine)
            await warm_up(made)
        except ServiceError as error:
            await self._fail(error.message)
            log.error("%s could not be started: %s", self.id, error.message)
        except Exception:
            await self._fail(f"{self.id} could not be started; the log says why.")
            log.exception("%s could not be started", self.id)
        else:
            self.summarizer = made
            self._set_state(State.READY)
            log.info("%s is ready after %.1f s", self.id, time.perf_counter() - began)
        finally:
            waiting.cancel()

    @contextmanager
    def count_request(self, adapter: Adapter | None = None) -> Iterator[None]:
        """Around a request: while it is inside, the engine stays, and the adapter that it is written with."""
        number = adapter.load_id if adapter else 0
        self.active_requests += 1
        self._requests_by_adapter[number] += 1
        try:
            yield
        finally:
            self.active_requests -= 1
            self._requests_by_adapter[number] -= 1
            self._request_left.set()

    async def update_state(self) -> None:
        """Find out whether it is ready or failed. Where its engine is in servers of its own, it may recover."""
        if self.summarizer is None or self.engine is None or self.state not in (State.READY, State.FAILED):
            return
        try:
            await self.engine.check_health()
            state, why = State.READY, ""
        except EngineDead as error:
            state, why = State.FAILED, error.message
        if self.state in (State.READY, State.FAILED):  # it may have been drained meanwhile
            self.fault = why
            self._set_state(state)

    async def add_adapter(self, name: str, folder: Path | None) -> None:
        """Load an adapter, or load it again under its name. Raises `Unprocessable` if the engine does not take it."""
        assert self.engine is not None, "it is not started"
        adapter = Adapter(name, next(_adapter_ids), folder)
        await self.engine.add_adapter(adapter)
        before, self.adapters[name] = self.adapters.get(name), adapter
        if before:
            await self.remove_adapter(before)

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Unload an adapter that no more requests come for, when the last has left."""
        await self._wait_until(lambda: not self._requests_by_adapter[adapter.load_id])
        del self._requests_by_adapter[adapter.load_id]
        if self.engine is not None:
            await self.engine.remove_adapter(adapter)

    def drain(self) -> None:
        """Take no more requests."""
        self._set_state(State.DRAINING)

    async def unload(self) -> None:
        """Wait until the last request has left, then stop the engine."""
        await self._wait_until(lambda: not self.active_requests)
        await self.stop()
        log.info("%s is unloaded", self.id)

    async def stop(self) -> None:
        """Stop the engine now. Harmless twice."""
        engine, self.engine = self.engine, None
        if self.state is not State.FAILED:
            self._set_state(State.UNLOADED)
        if engine is not None:
            try:
                await engine.stop()
            except Exception:
                log.exception("the engine of %s could not be stopped", self.id)

    async def _wait_until(self, left: Callable[[], bool]) -> None:
        while not left():
            self._request_left.clear()
            await self._request_left.wait()

    async def _fail(self, why: str) -> None:
        self.fault = why
        self._set_state(State.FAILED)
        await self.stop()

    def _set_state(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self.on_state_change()

    async def _log_loading(self, began: float) -> None:
        while True:
            await asyncio.sleep(LOADING_LOG_SECONDS)
            log.info("%s is still loading after %.0f s", self.id, time.perf_counter() - began)


async def _build_in_thread(build: Callable[[], Engine]) -> Engine:
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
