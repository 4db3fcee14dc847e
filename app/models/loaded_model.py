"""One model and its state: loading, ready, draining, unloaded, or failed.

The model counts the requests inside it, and its engine stops only when the last of them has left. Knows nothing about
other models, HTTP or audio.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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

_adapter_ids = count(1)  # each time an adapter is loaded it gets a number of its own
LEAVE_SECONDS = 30.0  # longest wait for requests to leave a dead engine
LOADING_LOG_SECONDS = 15  # seconds between two log lines that say that a model is still loading


class State(StrEnum):
    """The state of a model. FAILED: it could not be loaded, or its engine can no longer answer."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"
    UNLOADED = "unloaded"


class LoadedModel:
    """One version of one model. For one event loop; takes no locks.

    Attributes:
        info: The facts about the model.
        weight: Its share of the requests that name no version.
        state: Its state.
        fault: Why it failed; empty otherwise.
        active_requests: Number of requests inside it now.
        engine: Its engine, from its creation until it is stopped.
        summarizer: The path of its requests, once it was ready for the first time.
        on_state_change: Called after each change of the state.
        on_engine_death: Called when the engine of a ready model has died; returns whether it is being started again.
        adapters: The adapters that requests can ask for, by name.
    """

    def __init__(self, loadable: LoadableModel, weight: float) -> None:
        self.info: ModelInfo = loadable.info
        self.weight = weight
        self.state = State.LOADING
        self.fault = ""
        self.active_requests = 0
        self.engine: Engine | None = None
        self.summarizer: Summarizer | None = None
        self.on_state_change: Callable[[], None] = lambda: None
        self.on_engine_death: Callable[[], bool] = lambda: False
        self.adapters: dict[str, Adapter] = {}
        self._requests_by_adapter: Counter[int] = Counter()  # number of requests by their adapter's load id
        self._loadable = loadable
        self._request_left = asyncio.Event()

    @property
    def in_process(self) -> bool:
        """Whether the engine belongs to this service, which can start it again."""
        return self._loadable.in_process

    @property
    def id(self) -> str:
        """The model's `name@version`."""
        return self.info.id

    async def load(self, summarizer: Callable[[ModelInfo, Engine], Summarizer]) -> None:
        """Build and start the engine, load the adapters, and run the warm-up.

        A failure is logged and becomes the state FAILED; it is not raised. summarizer: makes the path of the model's
        requests.
        """
        started_at = time.perf_counter()
        if self._loadable.location:
            log.info("Waiting for %s at %s.", self.id, self._loadable.location)
        else:
            log.info("Loading %s. This takes a minute or two.", self.id)
        progress = asyncio.create_task(self._log_loading(started_at))
        try:
            await self._start_engine(summarizer, self._loadable.adapters)
        except ServiceError as error:
            await self._fail(error.message)
            log.error("%s could not be started: %s", self.id, error.message)
        except Exception:
            await self._fail(f"{self.id} could not be started; the log says why.")
            log.exception("%s could not be started.", self.id)
        else:
            self._set_state(State.READY)
            log.info("%s is ready after %.1f s.", self.id, time.perf_counter() - started_at)
        finally:
            progress.cancel()

    async def restart(self, summarizer: Callable[[ModelInfo, Engine], Summarizer]) -> bool:
        """Put a new engine, with the same adapters, in the place of a dead one. The state is LOADING meanwhile.

        Returns:
            Whether the model is ready. If not, the log says why, and the state is still LOADING.
        """
        await self._wait_until_empty()
        await self._stop_engine()
        adapters = [(adapter.name, adapter.folder) for adapter in self.adapters.values()]
        try:
            await self._start_engine(summarizer, adapters)
        except Exception:
            log.exception("The engine of %s could not be started again.", self.id)
            await self._stop_engine()
            return False
        self.fault = ""
        self._set_state(State.READY)
        return True

    async def _wait_until_empty(self) -> None:
        """Wait until the requests inside a dead engine have noticed: a recognizer may still work for some of them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._wait_until(lambda: self.engine is None or not self.engine.running_requests)

    def give_up(self, fault: str) -> None:
        """Set the state FAILED, because the engine is not started again."""
        self.fault = fault
        self._set_state(State.FAILED)

    async def _start_engine(
        self,
        summarizer: Callable[[ModelInfo, Engine], Summarizer],
        adapters: Sequence[tuple[str, Path | None]],
    ) -> None:
        self.engine = await _build_in_thread(self._loadable.build_engine)
        await self.engine.start()
        for name, folder in adapters:
            self.adapters[name] = await self._load_adapter(self.engine, name, folder)
        path = summarizer(self.info, self.engine)
        await warm_up(path)
        self.summarizer = path

    @contextmanager
    def count_request(self, adapter: Adapter | None = None) -> Iterator[None]:
        """Count a request inside the block: neither the engine nor the adapter is unloaded before it has left."""
        load_id = adapter.load_id if adapter else 0
        self.active_requests += 1
        self._requests_by_adapter[load_id] += 1
        try:
            yield
        finally:
            self.active_requests -= 1
            self._requests_by_adapter[load_id] -= 1
            self._request_left.set()

    async def update_state(self) -> None:
        """Check the engine's health, and set the state: READY or FAILED, or LOADING if a dead engine is being started
        again. A model behind servers may recover.
        """
        if self.summarizer is None or self.engine is None or self.state not in (State.READY, State.FAILED):
            return
        engine = self.engine
        try:
            await engine.check_health()
            state, fault = State.READY, ""
        except EngineDead as error:
            state, fault = State.FAILED, error.message
        # Meanwhile it may have been drained, or its engine replaced.
        if self.state in (State.READY, State.FAILED) and self.engine is engine:
            self.fault = fault
            if state is State.FAILED and self.state is State.READY and self.on_engine_death():
                state = State.LOADING
            self._set_state(state)

    async def add_adapter(self, name: str, folder: Path | None) -> None:
        """Load an adapter. It replaces one of the same name, which is unloaded once its last request has left.

        Raises `Unprocessable` if the engine cannot serve it. folder: as `app.engine.base.Adapter` has it.
        """
        assert self.engine is not None, "the model is not started"
        adapter = await self._load_adapter(self.engine, name, folder)
        previous, self.adapters[name] = self.adapters.get(name), adapter
        if previous:
            await self.remove_adapter(previous)

    @staticmethod
    async def _load_adapter(engine: Engine, name: str, folder: Path | None) -> Adapter:
        adapter = Adapter(name, next(_adapter_ids), folder)
        await engine.add_adapter(adapter)
        return adapter

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Wait until the last request with an adapter has left, then unload it. No new ones may come."""
        await self._wait_until(lambda: not self._requests_by_adapter[adapter.load_id])
        del self._requests_by_adapter[adapter.load_id]
        if self.engine is not None:
            await self.engine.remove_adapter(adapter)

    def drain(self) -> None:
        """Let no more requests in."""
        self._set_state(State.DRAINING)

    async def unload(self) -> None:
        """Wait until the last request has left, then stop the engine."""
        await self._wait_until(lambda: not self.active_requests)
        await self.stop()
        log.info("%s is unloaded.", self.id)

    async def stop(self) -> None:
        """Stop the engine now. Calling it twice does no harm."""
        if self.state is not State.FAILED:
            self._set_state(State.UNLOADED)
        await self._stop_engine()

    async def _stop_engine(self) -> None:
        engine, self.engine = self.engine, None
        if engine is not None:
            try:
                await engine.stop()
            except Exception:
                log.exception("The engine of %s could not be stopped.", self.id)

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; it is tested whenever a request has left."""
        while not condition():
            self._request_left.clear()
            await self._request_left.wait()

    async def _fail(self, fault: str) -> None:
        self.fault = fault
        self._set_state(State.FAILED)
        await self.stop()

    def _set_state(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self.on_state_change()

    async def _log_loading(self, started_at: float) -> None:
        while True:
            await asyncio.sleep(LOADING_LOG_SECONDS)
            log.info("%s is still loading after %.0f s.", self.id, time.perf_counter() - started_at)


async def _build_in_thread(build: Callable[[], Engine]) -> Engine:
    """Run `build` in a daemon thread, because Ctrl-C must not wait for minutes until a checkpoint is assembled."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Engine] = loop.create_future()

    def run() -> None:
        try:
            set_outcome = partial(result.set_result, build())
        except Exception as error:
            set_outcome = partial(result.set_exception, error)
        with suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(lambda: None if result.done() else set_outcome())

    threading.Thread(target=run, name="build-engine", daemon=True).start()
    return await result
