"""All models that are loaded, by name and version: which of them a request gets, and how one takes another's place.

A request is resolved once. `name@version` is that version; a bare `name` is drawn among the ready versions of that name
by their weights; no name is the default's; an adapter's name is the model that has it loaded. From the resolution to
the request's entering nothing is awaited, so that no model is unloaded between the two. Knows nothing about HTTP.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import metrics
from app.concurrency import cancel_and_wait
from app.core.errors import (
    Conflict,
    EngineDead,
    ModelNotFound,
    NotReady,
    ServiceError,
    Unavailable,
    Unprocessable,
    quote,
)
from app.engine.base import Adapter, Engine
from app.engine.model_info import ModelInfo
from app.models.loaded_model import LoadedModel, State
from app.models.model_source import LoadableModel, ModelSource
from app.models.version_draw import draw_version
from app.setting_types import DEFAULT_WEIGHT
from app.settings import setting_name
from app.summarize.pipeline import Summarizer
from model_repo.registry import RegistryError, UnknownModel

log = logging.getLogger(__name__)

LOADED_STATES = (State.LOADING, State.READY, State.DRAINING)


@dataclass(frozen=True)
class ResolvedModel:
    """What a request is answered with."""

    model: LoadedModel
    adapter: Adapter | None = None

    @property
    def id(self) -> str:
        """As the answer names it."""
        return self.adapter.name if self.adapter else self.model.id

    @property
    def summarizer(self) -> Summarizer:
        """What makes its summary."""
        assert self.model.summarizer is not None, "only what is ready is picked"
        return self.model.summarizer


class ModelManager:
    """The table. default: the name that requests mean which name none. known: the registry's models and the loaded
    ones. first: the model that the service starts with. summarizer: makes a model's path. retry_after_s: what callers
    are told while a model loads. For one event loop.
    """

    def __init__(
        self,
        first: LoadableModel,
        known: Sequence[ModelInfo],
        source: ModelSource,
        summarizer: Callable[[ModelInfo, Engine], Summarizer],
        weight: float = DEFAULT_WEIGHT,
        retry_after_s: float | None = None,
    ) -> None:
        self.known_models = list(known)
        self.by_id: dict[str, LoadedModel] = {}
        self.default_name = first.info.name
        self.retry_after_s = retry_after_s
        self._source = source
        self._summarizer = summarizer
        self._load_lock = asyncio.Lock()  # one loads at a time: each takes all cores
        self._tasks: set[asyncio.Task[None]] = set()
        self.initial = self._add_model(first, weight)

    # --- life

    def start(self, further: Iterable[tuple[LoadableModel, float]] = ()) -> asyncio.Task[None]:
        """Load the first model, and after it the further ones; returns the first's loading."""
        metrics.clear_model_metrics()
        self._update_metrics(self.initial)
        loading = self._start_task(self._load_model(self.initial))
        for what, weight in further:
            self._start_task(self._load_model(self._add_model(what, weight)))
        return loading

    async def stop(self) -> None:
        """Stop all of them. Harmless twice."""
        if self._tasks:
            await cancel_and_wait(*self._tasks)
        await asyncio.gather(*(model.stop() for model in self.by_id.values()))

    # --- what a request gets

    async def resolve(self, asked: str | None, seed: str) -> ResolvedModel:
        """The model that is meant, or one of those that are; the same seed draws the same one. Raises `ModelNotFound`
        (404), `Unavailable` (503).
        """
        asked = asked or self.default_name
        meant = [model for model in self.by_id.values() if model.info.matches(asked) or asked in model.adapters]
        for model in meant:
            await model.update_state()
        ready = {model.id: model for model in meant if model.state is State.READY}
        if asked in ready:
            return ResolvedModel(ready[asked])
        having = {id_: model for id_, model in ready.items() if asked in model.adapters}
        if having:
            drawn = draw_version(seed, {id_: model.weight for id_, model in having.items()}) or next(iter(having))
            return ResolvedModel(having[drawn], having[drawn].adapters[asked])
        chosen = draw_version(seed, {id_: model.weight for id_, model in ready.items()})
        if chosen is None:
            raise self._unavailable_error(asked, meant)
        return ResolvedModel(ready[chosen])

    async def is_default_ready(self) -> bool:
        """Whether a request that names no model would be served. Raises `EngineDead` if it will not be, either, without
        a restart.
        """
        versions = self._versions(self.default_name)
        for model in versions:
            await model.update_state()
        if any(model.state is State.READY and model.weight for model in versions):
            return True
        if not any(model.state is State.LOADING for model in versions):
            for model in versions:
                if model.state is State.FAILED:
                    raise EngineDead(model.fault, code="engine_dead" if model.summarizer else "engine_failed")
        return False

    async def check_any_ready(self) -> None:
        """Raise what a request that names no model would meet, unless some model is ready."""
        for model in list(self.by_id.values()):
            await model.update_state()
            if model.state is State.READY:
                return
        await self.is_default_ready()
        raise self._unavailable_error(self.default_name, self._versions(self.default_name))

    def default_model(self) -> ModelInfo:
        """The default's version that most requests get, or the first model."""
        ready = [model for model in self._versions(self.default_name) if model.state is State.READY]
        return max(ready, key=lambda model: model.weight).info if ready else self.initial.info

    def get(self, id_: str) -> LoadedModel:
        """A model that is not unloaded, by `name@version`. Raises `ModelNotFound`."""
        there = {model.id: model for model in self.by_id.values() if model.state is not State.UNLOADED}
        if id_ not in there:
            raise ModelNotFound(
                f"{id_} is not loaded. There are {', '.join(there)}.", code="model_not_loaded", param="model"
            )
        return there[id_]

    # --- what an operator asks

    async def load(
        self, asked: str, weight: float | None = None, urls: Sequence[str] = (), replace: str | None = None
    ) -> LoadedModel:
        """Begin to load a model. replace: `name@version` of the one whose place and, where none is given, weight it
        takes once it is ready; until then, and if it fails, that one stays. Raises `ModelNotFound`, `Conflict`,
        `Unprocessable`.
        """
        old = self.get(replace) if replace else None
        if old and old.state not in (State.READY, State.FAILED):
            raise Conflict(f"{old.id} is {old.state} and cannot be replaced.", code="model_not_ready", param="replace")
        try:
            what = await asyncio.to_thread(self._source, asked, urls)
        except UnknownModel as error:
            raise ModelNotFound(f"{error}.", code="model_not_found", param="model") from None
        except (RegistryError, ValueError) as error:
            raise Unprocessable(f"{asked} cannot be loaded: {error}.", code="model_unusable", param="model") from None
        before = self.by_id.get(what.info.id)
        if before and before.state in LOADED_STATES:
            raise Conflict(f"{before.id} is {before.state} already.", code="model_loaded", param="model")
        given = DEFAULT_WEIGHT if weight is None else weight
        model = self._add_model(what, 0.0 if old else given)
        if before:
            await before.stop()
        self._start_task(self._load_model(model, old, weight))
        return model

    def set_weight(self, id_: str, weight: float) -> LoadedModel:
        """Change a model's weight. Raises `ModelNotFound`, and `Conflict` if nothing were left for the default."""
        model = self.get(id_)
        if not weight:
            self._check_not_last(model)
        model.weight = weight
        self._update_metrics(model)
        return model

    def unload(self, id_: str) -> LoadedModel:
        """Let no more requests in; the engine stops when the last has left. Raises `ModelNotFound`, `Conflict`."""
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
        """Load an adapter on a model, on the default if none is named. Raises `ModelNotFound`, `Conflict`,
        `Unprocessable`.
        """
        if "@" in name or any(
            model.name == name for model in [*self.known_models, *(m.info for m in self.by_id.values())]
        ):
            raise Conflict(f"{name!r} is, or looks like, the name of a model.", code="adapter_name", param="name")
        model = self.get(id_ or self.default_model().id)
        await model.update_state()
        if model.state is not State.READY:
            raise Conflict(f"{model.id} is {model.state}.", code="model_not_ready", param="model")
        await model.add_adapter(name, folder)
        return ResolvedModel(model, model.adapters[name])

    def remove_adapter(self, name: str) -> list[LoadedModel]:
        """Unload an adapter wherever it is loaded; requests inside still end with it. Raises `ModelNotFound`."""
        having = [model for model in self.by_id.values() if name in model.adapters]
        if not having:
            raise ModelNotFound(f"No adapter {quote(name)} is loaded.", code="adapter_not_loaded", param="name")
        for model in having:
            self._start_task(model.remove_adapter(model.adapters.pop(name)))
        return having

    # --- inside

    def _add_model(self, what: LoadableModel, weight: float) -> LoadedModel:
        model = LoadedModel(what, weight)
        model.on_state_change = lambda: self._update_metrics(model)
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
            if not self._has_other_version(old) and old.info.name == self.default_name:
                self.default_name = model.info.name
            if old.state in (State.READY, State.FAILED):
                old.drain()
                self._start_task(old.unload())

    def _versions(self, name: str) -> list[LoadedModel]:
        return [model for model in self.by_id.values() if model.info.name == name]

    def _has_other_version(self, model: LoadedModel) -> bool:
        """Whether another version of its name serves requests that name no version."""
        others = (one for one in self._versions(model.info.name) if one is not model)
        return any(one.state is State.READY and one.weight for one in others)

    def _check_not_last(self, model: LoadedModel) -> None:
        if model.info.name == self.default_name and model.state is State.READY and not self._has_other_version(model):
            raise Conflict(
                f"{model.id} is all that serves requests that name no model: load another version with a weight first, "
                "or one that replaces it.",
                code="last_model",
            )

    def _unavailable_error(self, asked: str, meant: Sequence[LoadedModel]) -> ServiceError:
        """Why none of those that are meant serves."""
        if any(model.state is State.LOADING for model in meant):
            return NotReady(
                f"{asked if '@' in asked else meant[0].id} is still being loaded. Try again shortly.",
                code="not_ready",
                retry_after_s=self.retry_after_s,
            )
        if dead := [model for model in meant if model.state is State.FAILED]:
            code = "engine_dead" if dead[0].summarizer else "engine_failed"
            # Only where the default is dead too will somebody restart the service.
            if asked == self.default_name:
                return EngineDead(dead[0].fault, code=code)
            return Unavailable(dead[0].fault, code=code, retry_after_s=self.retry_after_s)
        there = ", ".join(model.id for model in self.by_id.values() if model.state in LOADED_STATES)
        if any(model.state is State.READY for model in meant):
            why = "loaded, but each of its versions has the weight 0: ask for one as name@version"
        elif meant:
            why = f"{meant[0].state}"
        elif any(model.matches(asked) for model in self.known_models):
            why = (
                f"in the registry but not loaded. The settings are {setting_name('model')} and {setting_name('models')}"
            )
        else:
            return ModelNotFound(
                f"{asked} is not in the registry; this service serves {there}.", code="model_not_found", param="model"
            )
        return ModelNotFound(f"{asked} is {why}. This service serves {there}.", code="model_not_loaded", param="model")

    def _update_metrics(self, model: LoadedModel) -> None:
        if self.by_id.get(model.id) is model:
            served = model.info
            metrics.set_model_metrics(
                served.name, served.version, served.kind, model.state, model.weight, lambda: model.active_requests
            )

    def _start_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("the work on a model failed", exc_info=error)
