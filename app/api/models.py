"""`GET /v1/models`: what the registry holds and which of it is served, in OpenAI's list shape."""

from fastapi import APIRouter, Depends, Request

from app.api.auth import require_key
from app.api.errors import responses
from app.api.protocol import ModelCard, ModelList, model_card
from app.errors import ModelNotFound
from app.service import Service

router = APIRouter(tags=["models"], dependencies=[Depends(require_key)])


@router.get("/v1/models", summary="List the models", responses=responses(401))
async def list_models(request: Request) -> ModelList:
    """Every model of the registry; `loaded` says which one is served."""
    service: Service = request.app.state.service
    return ModelList(data=[model_card(model, model.id == service.model.id) for model in service.models])


@router.get("/v1/models/{model}", summary="Look up a model", responses=responses(401, 404))
async def get_model(request: Request, model: str) -> ModelCard:
    """One model by `name@version`, or by `name`: the served version if it is served, else the newest."""
    service: Service = request.app.state.service
    found = [known for known in service.models if known.answers_to(model)]
    if not found:
        known_ids = ", ".join(known.id for known in service.models)
        raise ModelNotFound(f"No model {model!r}. There are {known_ids}.", code="model_not_found", param="model")
    chosen = next((known for known in found if known.id == service.model.id), found[-1])
    return model_card(chosen, chosen.id == service.model.id)
