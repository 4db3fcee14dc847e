"""`GET /v1/models`: what the registry holds and which of it is served, in OpenAI's list shape."""

from fastapi import APIRouter, Depends, Request

from app.api.auth import require_key
from app.api.errors import responses
from app.api.protocol import ModelCard, ModelList, model_card
from app.errors import ModelNotFound, quoted
from app.models.loaded import State
from app.models.table import Models
from app.service import Service

router = APIRouter(tags=["models"], dependencies=[Depends(require_key)])


@router.get("/v1/models", summary="List the models", responses=responses(401))
async def list_models(request: Request) -> ModelList:
    """Every model of the registry, and every one that was loaded; `state` says which are served."""
    models = models_of(request)
    return ModelList(data=[model_card(model, models.all.get(model.id)) for model in models.known])


@router.get("/v1/models/{model}", summary="Look up a model", responses=responses(401, 404))
async def get_model(request: Request, model: str) -> ModelCard:
    """One model by `name@version`, or by `name`: the version with the most weight if one is served, else the newest."""
    models = models_of(request)
    found = [known for known in models.known if known.answers_to(model)]
    if not found:
        known_ids = ", ".join(known.id for known in models.known)
        raise ModelNotFound(f"No model {quoted(model)}. There are {known_ids}.", code="model_not_found", param="model")
    ready = [one for one in map(models.all.get, (known.id for known in found)) if one and one.state is State.READY]
    chosen = max(ready, key=lambda one: one.weight).served if ready else found[-1]
    return model_card(chosen, models.all.get(chosen.id))


def models_of(request: Request) -> Models:
    """What is loaded."""
    service: Service = request.app.state.service
    return service.models
