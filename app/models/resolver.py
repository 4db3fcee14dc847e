"""Which of the loaded models a request gets.

A request is resolved once, by what it names: `name@version` is that version; `name` alone is drawn among the ready
versions of that name by their weights; no name is the default's; an adapter's name is a model that has the adapter
loaded. Between the resolution and the moment when the request is counted in the model, nothing is awaited, so that no
model is unloaded in between. Knows nothing about HTTP, nor about how models are loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.core.errors import EngineDead, ModelNotFound, NotReady, ServiceError, Unavailable
from app.engine.base import Adapter
from app.engine.model_info import ModelInfo
from app.models.loaded_model import LoadedModel, State
from app.models.version_draw import draw_version
from app.settings import setting_name
from app.summarize.pipeline import Summarizer

LOADED_STATES = (State.LOADING, State.READY, State.DRAINING)


@dataclass(frozen=True)
class ResolvedModel:
    """The model that answers a request, and the adapter that it answers with."""

    model: LoadedModel
    adapter: Adapter | None = None

    @property
    def id(self) -> str:
        """The name in the response: the adapter's, or the model's `name@version`."""
        return self.adapter.name if self.adapter else self.model.id

    @property
    def summarizer(self) -> Summarizer:
        """The path that makes the summary."""
        assert self.model.summarizer is not None, "only ready models are resolved"
        return self.model.summarizer


class ModelResolver:
    """The models of a service. For one event loop; takes no locks.

    Attributes:
        known_models: The models of the registry, and those that were loaded from elsewhere.
        by_id: The models that are or were loaded, by `name@version`.
        default_name: The name that a request without a name means.
        retry_after_s: When callers are told to try again while a model is being loaded.
    """

    def __init__(self, known_models: Sequence[ModelInfo], default_name: str, retry_after_s: float | None) -> None:
        self.known_models = list(known_models)
        self.by_id: dict[str, LoadedModel] = {}
        self.default_name = default_name
        self.retry_after_s = retry_after_s

    async def resolve(self, name: str | None, seed: str) -> ResolvedModel:
        """Return the model for a name; the same seed draws the same version.

        Raises:
            ModelNotFound: Nothing of that name is loaded (404).
            Unavailable: The model is not ready, or its engine has died (503).
        """
        name = name or self.default_name
        candidates = [model for model in self.by_id.values() if model.info.matches(name) or name in model.adapters]
        for model in candidates:
            await model.update_state()
        ready = {model.id: model for model in candidates if model.state is State.READY}
        if name in ready:
            return ResolvedModel(ready[name])
        with_adapter = {id_: model for id_, model in ready.items() if name in model.adapters}
        if with_adapter:
            weights = {id_: model.weight for id_, model in with_adapter.items()}
            drawn = draw_version(seed, weights) or next(iter(with_adapter))
            return ResolvedModel(with_adapter[drawn], with_adapter[drawn].adapters[name])
        version = draw_version(seed, {id_: model.weight for id_, model in ready.items()})
        if version is None:
            raise self._unavailable_error(name, candidates)
        return ResolvedModel(ready[version])

    async def is_default_ready(self) -> bool:
        """Return whether a request that names no model would be served.

        Raises `EngineDead` if it would not be served without a restart of the service.
        """
        versions = self.versions(self.default_name)
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
        """Raise the error of a request that names no model, unless at least one model is ready."""
        for model in list(self.by_id.values()):
            await model.update_state()
            if model.state is State.READY:
                return
        await self.is_default_ready()
        raise self._unavailable_error(self.default_name, self.versions(self.default_name))

    def get(self, id_: str) -> LoadedModel:
        """Return a model that is not unloaded, by `name@version`. Raises `ModelNotFound`."""
        models = {model.id: model for model in self.by_id.values() if model.state is not State.UNLOADED}
        if id_ not in models:
            raise ModelNotFound(
                f"{id_} is not loaded. The loaded models are {', '.join(models)}.",
                code="model_not_loaded",
                param="model",
            )
        return models[id_]

    def versions(self, name: str) -> list[LoadedModel]:
        """Return the loaded versions of a name."""
        return [model for model in self.by_id.values() if model.info.name == name]

    def has_other_version(self, model: LoadedModel) -> bool:
        """Return whether another version of the model's name serves requests that name no version."""
        others = (one for one in self.versions(model.info.name) if one is not model)
        return any(one.state is State.READY and one.weight for one in others)

    def _unavailable_error(self, name: str, candidates: Sequence[LoadedModel]) -> ServiceError:
        """Return the error that says why none of the candidates serves."""
        if any(model.state is State.LOADING for model in candidates):
            return NotReady(
                f"{name if '@' in name else candidates[0].id} is still being loaded. Try again shortly.",
                code="not_ready",
                retry_after_s=self.retry_after_s,
            )
        if failed := [model for model in candidates if model.state is State.FAILED]:
            code = "engine_dead" if failed[0].summarizer else "engine_failed"
            # EngineDead makes a supervisor restart the service, which is right only if the default is dead.
            if name == self.default_name:
                return EngineDead(failed[0].fault, code=code)
            return Unavailable(failed[0].fault, code=code, retry_after_s=self.retry_after_s)
        loaded_ids = ", ".join(model.id for model in self.by_id.values() if model.state in LOADED_STATES)
        if any(model.state is State.READY for model in candidates):
            reason = "loaded, but each of its versions has the weight 0: ask for one as name@version"
        elif candidates:
            reason = f"{candidates[0].state}"
        elif any(model.matches(name) for model in self.known_models):
            reason = (
                f"in the registry but not loaded. The settings are {setting_name('model')} and {setting_name('models')}"
            )
        else:
            return ModelNotFound(
                f"{name} is not in the registry; this service serves {loaded_ids}.",
                code="model_not_found",
                param="model",
            )
        return ModelNotFound(
            f"{name} is {reason}. This service serves {loaded_ids}.", code="model_not_loaded", param="model"
        )
