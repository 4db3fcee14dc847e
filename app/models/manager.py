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
from app.concurrency import end
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
from app.engine.model_info import ServedModel
from app.models.loaded_model import LoadedModel, State
from app.models.model_source import Loadable, Source
from app.models.version_draw import draw
from app.setting_types import DEFAULT_WEIGHT
from app.settings import setting_name
from app.summarize.pipeline import Summarizer
from model_repo.registry import RegistryError, UnknownModel

log = logging.getLogger(__name__)

THERE = (State.LOADING, State.READY, State.DRAINING)


@dataclass(frozen=True)
class Pick:
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


class Models:
    """The table. default: the name that requests mean which name none. known: the registry's models and the loaded
    ones. first: the model that the service starts with. summarizer: makes a model's path. retry_after_s: what callers
    are told while a model loads. For one event loop.
    """

    def __init__(
        self,
        first: Loadable,
        known: Sequence[ServedModel],
        source: Source,
        summarizer: Callable[[ServedModel, Engine], Summarizer],
        weight: float = DEFAULT_WEIGHT,
        retry_after_s: float | None = None,
    ) -> None:
        self.known = list(known)
        self.all: dict[str, LoadedModel] = {}
        self.default = first.served.name
        self.retry_after_s = retry_after_s
        self._source = source
        self._summarizer = summarizer
        self._turn = asyncio.Lock()  # one loads at a time: each takes all cores
        self._tasks: set[asyncio.Task[None]] = set()
        self.first = self._add(first, weight)

    # --- life

    def start(self, further: Iterable[tuple[Loadable, float]] = ()) -> asyncio.Task[None]:
        """Load the first model, and after it the further ones; returns the first's loading."""
        metrics.forget_models()
        self._tell(self.first)
        loading = self._run(self._load(self.first))
        for what, weight in further:
            self._run(self._load(self._add(what, weight)))
        return loading

    async def stop(self) -> None:
        """Stop all of them. Harmless twice."""
        if self._tasks:
            await end(*self._tasks)
        await asyncio.gather(*(model.stop() for model in self.all.values()))

    # --- what a request gets

    async def resolve(self, asked: str | None, seed: str) -> Pick:
        """The model that is meant, or one of those that are; the same seed draws the same one. Raises `ModelNotFound`
        (404), `Unavailable` (503).
        """
        asked = asked or self.default
        meant = [model for model in self.all.values() if model.served.answers_to(asked) or asked in model.adapters]
        for model in meant:
            await model.check()
        ready = {model.id: model for model in meant if model.state is State.READY}
        if asked in ready:
            return Pick(ready[asked])
        having = {id_: model for id_, model in ready.items() if asked in model.adapters}
        if having:
            drawn = draw(seed, {id_: model.weight for id_, model in having.items()}) or next(iter(having))
            return Pick(having[drawn], having[drawn].adapters[asked])
        chosen = draw(seed, {id_: model.weight for id_, model in ready.items()})
        if chosen is None:
            raise self._refusal(asked, meant)
        return Pick(ready[chosen])

    async def check_default(self) -> bool:
        """Whether a request that names no model would be served. Raises `EngineDead` if it will not be, either, without
        a restart.
        """
        versions = self._versions(self.default)
        for model in versions:
            await model.check()
        if any(model.state is State.READY and model.weight for model in versions):
            return True
        if not any(model.state is State.LOADING for model in versions):
            for model in versions:
                if model.state is State.FAILED:
                    raise EngineDead(model.why, code="engine_dead" if model.summarizer else "engine_failed")
        return False

    async def check_any(self) -> None:
        """Raise what a request that names no model would meet, unless some model is ready."""
        for model in list(self.all.values()):
            await model.check()
            if model.state is State.READY:
                return
        await self.check_default()
        raise self._refusal(self.default, self._versions(self.default))

    def shown(self) -> ServedModel:
        """The default's version that most requests get, or the first model."""
        ready = [model for model in self._versions(self.default) if model.state is State.READY]
        return max(ready, key=lambda model: model.weight).served if ready else self.first.served

    def get(self, id_: str) -> LoadedModel:
        """A model that is not unloaded, by `name@version`. Raises `ModelNotFound`."""
        there = {model.id: model for model in self.all.values() if model.state is not State.UNLOADED}
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
        before = self.all.get(what.served.id)
        if before and before.state in THERE:
            raise Conflict(f"{before.id} is {before.state} already.", code="model_loaded", param="model")
        given = DEFAULT_WEIGHT if weight is None else weight
        model = self._add(what, 0.0 if old else given)
        if before:
            await before.stop()
        self._run(self._load(model, old, weight))
        return model

    def weigh(self, id_: str, weight: float) -> LoadedModel:
        """Change a model's weight. Raises `ModelNotFound`, and `Conflict` if nothing were left for the default."""
        model = self.get(id_)
        if not weight:
            self._check_other(model)
        model.weight = weight
        self._tell(model)
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
            self._check_other(model)
            model.drain()
            self._run(model.unload())
        return model

    async def add_adapter(self, name: str, folder: Path | None, id_: str | None) -> Pick:
        """Load an adapter on a model, on the default if none is named. Raises `ModelNotFound`, `Conflict`,
        `Unprocessable`.
        """
        if "@" in name or any(model.name == name for model in [*self.known, *(m.served for m in self.all.values())]):
            raise Conflict(f"{name!r} is, or looks like, the name of a model.", code="adapter_name", param="name")
        model = self.get(id_ or self.shown().id)
        await model.check()
        if model.state is not State.READY:
            raise Conflict(f"{model.id} is {model.state}.", code="model_not_ready", param="model")
        await model.add_adapter(name, folder)
        return Pick(model, model.adapters[name])

    def drop_adapter(self, name: str) -> list[LoadedModel]:
        """Unload an adapter wherever it is loaded; requests inside still end with it. Raises `ModelNotFound`."""
        having = [model for model in self.all.values() if name in model.adapters]
        if not having:
            raise ModelNotFound(f"No adapter {quote(name)} is loaded.", code="adapter_not_loaded", param="name")
        for model in having:
            self._run(model.forget(model.adapters.pop(name)))
        return having

    # --- inside

    def _add(self, what: Loadable, weight: float) -> LoadedModel:
        model = LoadedModel(what, weight)
        model.changed = lambda: self._tell(model)
        self.all[model.id] = model
        if not any(known.id == model.id for known in self.known):
            self.known.insert(0, model.served)
        self._tell(model)
        return model

    async def _load(self, model: LoadedModel, old: LoadedModel | None = None, weight: float | None = None) -> None:
        async with self._turn:
            await model.load(self._summarizer)
            if old is None or model.state is not State.READY:
                return
            model.weight = old.weight if weight is None else weight
            self._tell(model)
            if not self._another(old) and old.served.name == self.default:
                self.default = model.served.name
            if old.state in (State.READY, State.FAILED):
                old.drain()
                self._run(old.unload())

    def _versions(self, name: str) -> list[LoadedModel]:
        return [model for model in self.all.values() if model.served.name == name]

    def _another(self, model: LoadedModel) -> bool:
        """Whether another version of its name serves requests that name no version."""
        others = (one for one in self._versions(model.served.name) if one is not model)
        return any(one.state is State.READY and one.weight for one in others)

    def _check_other(self, model: LoadedModel) -> None:
        if model.served.name == self.default and model.state is State.READY and not self._another(model):
            raise Conflict(
                f"{model.id} is all that serves requests that name no model: load another version with a weight first, "
                "or one that replaces it.",
                code="last_model",
            )

    def _refusal(self, asked: str, meant: Sequence[LoadedModel]) -> ServiceError:
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
            if asked == self.default:
                return EngineDead(dead[0].why, code=code)
            return Unavailable(dead[0].why, code=code, retry_after_s=self.retry_after_s)
        there = ", ".join(model.id for model in self.all.values() if model.state in THERE)
        if any(model.state is State.READY for model in meant):
            why = "loaded, but each of its versions has the weight 0: ask for one as name@version"
        elif meant:
            why = f"{meant[0].state}"
        elif any(model.answers_to(asked) for model in self.known):
            why = (
                f"in the registry but not loaded. The settings are {setting_name('model')} and {setting_name('models')}"
            )
        else:
            return ModelNotFound(
                f"{asked} is not in the registry; this service serves {there}.", code="model_not_found", param="model"
            )
        return ModelNotFound(f"{asked} is {why}. This service serves {there}.", code="model_not_loaded", param="model")

    def _tell(self, model: LoadedModel) -> None:
        if self.all.get(model.id) is model:
            served = model.served
            metrics.tell_model(
                served.name, served.version, served.kind, model.state, model.weight, lambda: model.inside
            )

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("the work on a model failed", exc_info=error)
