"""All models of a service: loading them, unloading them, and replacing one by another while requests go on.

Which of them a request gets is decided in `app.models.resolver`. Knows nothing about HTTP.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

from app import metrics
from app.concurrency import cancel_and_wait
from app.core.errors import Conflict, ModelNotFound, Unprocessable, quote
from app.engine.base import Engine
from app.engine.model_info import ModelInfo
from app.models.loaded_model import LoadedModel, State
from app.models.model_source import LoadableModel, ModelSource
from app.models.resolver import LOADED_STATES, ModelResolver, ResolvedModel
from app.models.restart_backoff import RestartBackoff
from app.setting_types import DEFAULT_WEIGHT
from app.settings import setting_name
from app.summarize.pipeline import Summarizer
from model_repo.registry import RegistryError, UnknownModel

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0  # between two looks at the engines


class ModelManager(ModelResolver):
    """The models of a service, and what an operator may do with them. For one event loop."""

    def __init__(
        self,
        first: LoadableModel,
        known_models: Sequence[ModelInfo],
        source: ModelSource,
        summarizer: Callable[[ModelInfo, Engine], Summarizer],
        weight: float = DEFAULT_WEIGHT,
        retry_after_s: float | None = None,
        restarts: int = 0,
    ) -> None:
        """Create the manager without loading anything.

        Args:
            first: The model that the service starts with; its name becomes the default.
            known_models: The models of the registry.
            source: Finds models to load by their name.
            summarizer: Makes the path of a model's requests.
            weight: The weight of the first model.
            retry_after_s: When callers are told to try again while a model is being loaded.
            restarts: How many times in a row an engine that died is started again.
        """
        super().__init__(known_models, first.info.name, retry_after_s)
        self._source = source
        self._summarizer = summarizer
        self._load_lock = asyncio.Lock()  # models are loaded one at a time, because each takes all cores
        self._tasks: set[asyncio.Task[None]] = set()
        self._restarts = restarts
        self.initial = self._add_model(first, weight)

    def start(self, others: Iterable[tuple[LoadableModel, float]] = ()) -> asyncio.Task[None]:
        """Load the first model, and after it the others with their weights. Returns the task that loads the first."""
        metrics.clear_model_metrics()
        self._update_metrics(self.initial)
        task = self._start_task(self._load_model(self.initial))
        for loadable, weight in others:
            self._start_task(self._load_model(self._add_model(loadable, weight)))
        self._start_task(self._watch_engines())
        return task

    async def stop(self) -> None:
        """Stop all models. Calling it twice does no harm."""
        if self._tasks:
            await cancel_and_wait(*self._tasks)
        await asyncio.gather(*(model.stop() for model in self.by_id.values()))

    def default_model(self) -> ModelInfo:
        """Return the version of the default name with the highest weight, or the first model if none is ready."""
        ready = [model for model in self.versions(self.default_name) if model.state is State.READY]
        return max(ready, key=lambda model: model.weight).info if ready else self.initial.info

    async def load(
        self, name: str, weight: float | None = None, urls: Sequence[str] = (), replace: str | None = None
    ) -> LoadedModel:
        """Start to load a model, and return it at once.

        Args:
            name: A name, `name@version` or a folder, as `app.models.model_source.find_model` takes it.
            weight: Its share of the requests that name no version.
            urls: The vLLM servers that run it. Without any, the settings decide.
            replace: `name@version` of a model that the new one replaces once it is ready. The new one takes its weight
                too if `weight` is None. The old one keeps serving until then, and if loading fails.

        Raises:
            ModelNotFound: The model, or the one to replace, is not known.
            Conflict: The model is loaded already, or the one to replace is not ready.
            Unprocessable: The model cannot be loaded.
        """
        old = self.get(replace) if replace else None
        if old and old.state not in (State.READY, State.FAILED):
            raise Conflict(f"{old.id} is {old.state} and cannot be replaced.", code="model_not_ready", param="replace")
        try:
            loadable = await asyncio.to_thread(self._source, name, urls)
        except UnknownModel as error:
            raise ModelNotFound(f"{error}.", code="model_not_found", param="model") from None
        except (RegistryError, ValueError) as error:
            raise Unprocessable(f"{name} cannot be loaded: {error}.", code="model_unusable", param="model") from None
        previous = self.by_id.get(loadable.info.id)
        if previous and previous.state in LOADED_STATES:
            raise Conflict(f"{previous.id} is {previous.state} already.", code="model_loaded", param="model")
        initial_weight = DEFAULT_WEIGHT if weight is None else weight
        model = self._add_model(loadable, 0.0 if old else initial_weight)
        if previous:
            await previous.stop()
        self._start_task(self._load_model(model, old, weight))
        return model

    def set_weight(self, id_: str, weight: float) -> LoadedModel:
        """Change a model's weight and return the model.

        Raises:
            ModelNotFound: The model is not loaded.
            Conflict: No model would be left for requests that name none.
        """
        model = self.get(id_)
        if not weight:
            self._check_not_last(model)
        model.weight = weight
        self._update_metrics(model)
        return model

    def unload(self, id_: str) -> LoadedModel:
        """Let no more requests into a model; its engine stops when the last one has left. Returns the model.

        Raises:
            ModelNotFound: The model is not loaded.
            Conflict: The model is still being loaded, or no model would be left for requests that name none.
        """
        model = self.get(id_)
        if model.state is State.LOADING:
            raise Conflict(
                f"{id_} is still being loaded. Unload it when it is ready.",
                code="model_loading",
                retry_after_s=self.retry_after_s,
            )
        if model.state in (State.READY, State.FAILED):
            self._check_not_last(model)
            model.drain()
            self._start_task(model.unload())
        return model

    async def add_adapter(self, name: str, folder: Path | None, id_: str | None) -> ResolvedModel:
        """Load an adapter on a model, or on the default if `id_` is None.

        Raises:
            ModelNotFound: The model is not loaded.
            Conflict: The name could be a model's, or the model is not ready.
            Unprocessable: The engine cannot serve the adapter.
        """
        models = [*self.known_models, *(model.info for model in self.by_id.values())]
        if "@" in name or any(model.name == name for model in models):
            raise Conflict(f"{name!r} is, or looks like, the name of a model.", code="adapter_name", param="name")
        model = self.get(id_ or self.default_model().id)
        await model.update_state()
        if model.state is not State.READY:
            raise Conflict(f"{model.id} is {model.state}.", code="model_not_ready", param="model")
        await model.add_adapter(name, folder)
        return ResolvedModel(model, model.adapters[name])

    def remove_adapter(self, name: str) -> list[LoadedModel]:
        """Unload an adapter from every model that has it, and return these models.

        Requests that use the adapter still end with it. Raises `ModelNotFound` if no model has it.
        """
        models = [model for model in self.by_id.values() if name in model.adapters]
        if not models:
            raise ModelNotFound(f"No adapter {quote(name)} is loaded.", code="adapter_not_loaded", param="name")
        for model in models:
            self._start_task(model.remove_adapter(model.adapters.pop(name)))
        return models

    def _add_model(self, loadable: LoadableModel, weight: float) -> LoadedModel:
        model = LoadedModel(loadable, weight)
        model.on_state_change = lambda: self._update_metrics(model)
        backoff = RestartBackoff(self._restarts)
        model.on_engine_death = lambda: self._start_restart(model, backoff)
        self.by_id[model.id] = model
        if not any(known.id == model.id for known in self.known_models):
            self.known_models.insert(0, model.info)
        self._update_metrics(model)
        return model

    async def _load_model(
        self, model: LoadedModel, old: LoadedModel | None = None, weight: float | None = None
    ) -> None:
        async with self._load_lock:
            await model.load(self._summarizer)
            if old is None or model.state is not State.READY:
                return
            model.weight = old.weight if weight is None else weight
            self._update_metrics(model)
            if not self.has_other_version(old) and old.info.name == self.default_name:
                self.default_name = model.info.name
            if old.state in (State.READY, State.FAILED):
                old.drain()
                self._start_task(old.unload())

    async def _watch_engines(self) -> None:
        """Notice the death of an engine although nobody asks for its model."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for model in list(self.by_id.values()):
                if model.state is State.READY and model.in_process:
                    await model.update_state()

    def _start_restart(self, model: LoadedModel, backoff: RestartBackoff) -> bool:
        """Start the engine of a model again, if it may be. Returns whether it is being started."""
        backoff.note_death()
        if not model.in_process or (delay_s := backoff.next_delay_s()) is None:
            return False
        log.error("The engine of %s has died. It is started again in %.0f s.", model.id, delay_s)
        self._start_task(self._restart(model, backoff, delay_s))
        return True

    async def _restart(self, model: LoadedModel, backoff: RestartBackoff, delay_s: float | None) -> None:
        while delay_s is not None:
            await asyncio.sleep(delay_s)
            async with self._load_lock:
                succeeded = await model.restart(self._summarizer)
            metrics.ENGINE_RESTARTS.labels(model.info.name, "ok" if succeeded else "failed").inc()
            if succeeded:
                backoff.note_start()
                log.info("The engine of %s answers again.", model.id)
                return
            delay_s = backoff.next_delay_s()
        model.give_up(
            f"The engine of {model.id} died and could not be started again in {backoff.attempts} attempts. The service "
            f"must be restarted. The setting is {setting_name('engine', 'restarts')}."
        )

    def _check_not_last(self, model: LoadedModel) -> None:
        """Raise `Conflict` if the model alone serves requests that name no model."""
        if model.info.name == self.default_name and model.state is State.READY and not self.has_other_version(model):
            raise Conflict(
                f"{model.id} is all that serves requests that name no model: load another version with a weight first, "
                "or one that replaces it.",
                code="last_model",
            )

    def _update_metrics(self, model: LoadedModel) -> None:
        if self.by_id.get(model.id) is model:  # not if it was loaded again since
            info = model.info
            metrics.set_model_metrics(
                info.name, info.version, info.kind, model.state, model.weight, lambda: model.active_requests
            )

    def _start_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("A background task on a model failed.", exc_info=error)
