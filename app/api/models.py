"""`GET /v1/models` in the shape of OpenAI's list: the models and adapters that a request can name as its `model`. With
`?all=true`, all models of the registry. Knows nothing about how models are loaded.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from app.api.app_state import app_state
from app.api.auth import require_key
from app.api.error_responses import error_responses
from app.api.models_protocol import ModelCard, ModelList, model_card
from app.api.query_parameters import reject_unknown_query
from app.core.errors import ModelNotFound, quote
from app.models.loaded_model import State
from app.models.manager import ModelManager

router = APIRouter(tags=["models"], dependencies=[Depends(require_key), Depends(reject_unknown_query)])

AllModels = Annotated[
    bool,
    Query(description="Also show models that cannot be asked for now, because they are not loaded; see `state`."),
]


@router.get("/v1/models", summary="List the models", responses=error_responses(400, 401))
async def list_models(request: Request, all: AllModels = False) -> ModelList:
    """The list holds the models and adapters that a request can name now. With `all=true` it holds every model of the
    registry and every model that was loaded; `state` says which of them are served.
    """
    models = model_manager(request)
    await _refresh_states(models)
    ready = [model for model in models.by_id.values() if model.state is State.READY]
    shown = (
        models.known_models
        if all
        else [known for known in models.known_models if any(one.id == known.id for one in ready)]
    )
    cards = [model_card(known, models.by_id.get(known.id)) for known in shown]
    # An adapter that is loaded on several models is one entry.
    carriers = {name: model for model in reversed(ready) for name in model.adapters}
    cards += [model_card(carriers[name].info, carriers[name], name) for name in sorted(carriers)]
    return ModelList(data=cards)


@router.get("/v1/models/{model}", summary="Look up a model", responses=error_responses(400, 401, 404))
async def get_model(request: Request, model: str, all: AllModels = False) -> ModelCard:
    """The answer is a model or an adapter that a request can name now. A `name` without a version stands for the
    version with the largest weight. With `all=true` models that are not loaded are found too, by `name` the newest
    version.
    """
    models = model_manager(request)
    await _refresh_states(models)
    found = [known for known in models.known_models if known.matches(model)]
    ready = [one for one in models.by_id.values() if one.state is State.READY]
    serving = [one for one in ready if one.info.matches(model)]
    if serving:
        chosen = max(serving, key=lambda one: one.weight)
        return model_card(chosen.info, chosen)
    if carriers := [one for one in ready if model in one.adapters]:
        return model_card(carriers[0].info, carriers[0], model)
    if found and all:
        return model_card(found[-1], models.by_id.get(found[-1].id))
    available = (
        ", ".join([one.id for one in ready] + sorted({name for one in ready for name in one.adapters})) or "none"
    )
    if found:
        raise ModelNotFound(
            f"{found[-1].id} is not loaded. The models that are: {available}. ?all=true shows the others too.",
            code="model_not_loaded",
            param="model",
        )
    known_ids = ", ".join(known.id for known in models.known_models)
    raise ModelNotFound(
        f"There is no model {quote(model)}. The known models are {known_ids}.", code="model_not_found", param="model"
    )


async def _refresh_states(models: ModelManager) -> None:
    """Update the state of every model, which may have failed or recovered."""
    for model in list(models.by_id.values()):
        await model.update_state()


def model_manager(request: Request) -> ModelManager:
    """Return the manager of the loaded models."""
    return app_state(request).service.models
