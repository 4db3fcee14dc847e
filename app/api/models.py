"""`GET /v1/models` in OpenAI's list shape: what a request can name as its `model`; with `?all=true` the registry."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from app.api.auth import require_key
from app.api.error_responses import responses
from app.api.protocol import ModelCard, ModelList, model_card
from app.api.query_parameters import only_known_query
from app.core.errors import ModelNotFound, quote
from app.models.loaded_model import State
from app.models.manager import Models
from app.service import Service

router = APIRouter(tags=["models"], dependencies=[Depends(require_key), Depends(only_known_query)])

All = Annotated[
    bool,
    Query(description="Also what is in the registry or was loaded here, and cannot be asked for now; see `state`."),
]


@router.get("/v1/models", summary="List the models", responses=responses(400, 401))
async def list_models(request: Request, all: All = False) -> ModelList:
    """The models and adapters that a request can name now. With `all=true` every model of the registry, and every one
    that was loaded; `state` says which are served.
    """
    models = models_of(request)
    await _check(models)
    ready = [model for model in models.all.values() if model.state is State.READY]
    shown = models.known if all else [known for known in models.known if any(one.id == known.id for one in ready)]
    cards = [model_card(known, models.all.get(known.id)) for known in shown]
    # An adapter is one name, on however many models it is loaded.
    carriers = {name: model for model in reversed(ready) for name in model.adapters}
    cards += [model_card(carriers[name].served, carriers[name], name) for name in sorted(carriers)]
    return ModelList(data=cards)


@router.get("/v1/models/{model}", summary="Look up a model", responses=responses(400, 401, 404))
async def get_model(request: Request, model: str, all: All = False) -> ModelCard:
    """One that a request can name now: a model by `name@version`, or by `name` (the version with the most weight), or
    an adapter. With `all=true` also one that is not loaded, by `name` its newest version.
    """
    models = models_of(request)
    await _check(models)
    found = [known for known in models.known if known.answers_to(model)]
    ready = [one for one in models.all.values() if one.state is State.READY]
    serving = [one for one in ready if one.served.answers_to(model)]
    if serving:
        chosen = max(serving, key=lambda one: one.weight)
        return model_card(chosen.served, chosen)
    if carriers := [one for one in ready if model in one.adapters]:
        return model_card(carriers[0].served, carriers[0], model)
    if found and all:
        return model_card(found[-1], models.all.get(found[-1].id))
    there = ", ".join([one.id for one in ready] + sorted({name for one in ready for name in one.adapters})) or "none"
    if found:
        raise ModelNotFound(
            f"{found[-1].id} cannot be asked for now; these can: {there}. ?all=true shows it nevertheless.",
            code="model_not_loaded",
            param="model",
        )
    known_ids = ", ".join(known.id for known in models.known)
    raise ModelNotFound(f"No model {quote(model)}. There are {known_ids}.", code="model_not_found", param="model")


async def _check(models: Models) -> None:
    """Let each model find out whether it still answers, so that `state` is true."""
    for model in list(models.all.values()):
        await model.check()


def models_of(request: Request) -> Models:
    """What is loaded."""
    service: Service = request.app.state.service
    return service.models
