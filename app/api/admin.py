"""`/v1/admin`: the routes by which an operator loads and unloads models and adapters, and sets their weights. How that
is done is in `app.models`.
"""

from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from pydantic import BaseModel

from app.admission.uploads import Uploads
from app.api.admin_protocol import (
    AdapterCard,
    AdapterRequest,
    LoadedCard,
    LoadedList,
    LoadRequest,
    WeightRequest,
    adapter_card,
    loaded_card,
)
from app.api.app_state import app_state
from app.api.auth import require_admin
from app.api.error_responses import error_responses
from app.api.models import model_manager
from app.api.openapi import json_request_body
from app.api.typed_body import read_typed_body
from app.models.loaded_model import LoadedModel
from app.models.manager import ModelManager

router = APIRouter(tags=["admin"], dependencies=[Depends(require_admin)])

T = TypeVar("T", bound=BaseModel)
ModelId = Annotated[str, InPath(description="`name@version`.")]
AdapterName = Annotated[str, InPath(description="Name of the adapter.")]


@router.get("/v1/admin/models", summary="List the loaded models", responses=error_responses(401, 403))
async def list_loaded(request: Request) -> LoadedList:
    """The list holds the models that are loaded or being loaded, that failed, and that were unloaded."""
    models = model_manager(request)
    for model in list(models.by_id.values()):
        await model.update_state()
    return LoadedList(data=[_model_card(models, model) for model in models.by_id.values()])


@router.post(
    "/v1/admin/models",
    summary="Load a model",
    status_code=202,
    responses=error_responses(400, 401, 403, 404, 408, 409, 413, 422),
    openapi_extra={"requestBody": json_request_body(LoadRequest, {"model": ""})},
)
async def load_model(request: Request) -> LoadedCard:
    """The status is 202, and the model is loaded in the background. With `replace`, the model takes the place of
    another one as soon as it is ready: from then on no request gets the old model, which is unloaded when its last
    request has ended. If the new model fails to load, the old one stays.
    """
    models = model_manager(request)
    body = await _read_body(request, LoadRequest)
    return _model_card(models, await models.load(body.model, body.weight, body.urls, body.replace))


@router.get("/v1/admin/models/{id}", summary="Look at a loaded model", responses=error_responses(401, 403, 404))
async def get_loaded(request: Request, id: ModelId) -> LoadedCard:
    """The answer is the model in its present state."""
    models = model_manager(request)
    model = models.get(id)
    await model.update_state()
    return _model_card(models, model)


@router.patch(
    "/v1/admin/models/{id}",
    summary="Change a model's weight",
    responses=error_responses(400, 401, 403, 404, 408, 409, 413),
    openapi_extra={"requestBody": json_request_body(WeightRequest, {"weight": 100})},
)
async def weigh_model(request: Request, id: ModelId) -> LoadedCard:
    """The new weight holds for all requests that arrive from now on."""
    models = model_manager(request)
    body = await _read_body(request, WeightRequest)
    return _model_card(models, models.set_weight(id, body.weight))


@router.delete(
    "/v1/admin/models/{id}", summary="Unload a model", status_code=202, responses=error_responses(401, 403, 404, 409)
)
async def unload_model(request: Request, id: ModelId) -> LoadedCard:
    """The status is 202. No further request gets the model; it is unloaded when its last request or job has ended."""
    models = model_manager(request)
    return _model_card(models, models.unload(id))


@router.post(
    "/v1/admin/adapters",
    summary="Load an adapter",
    status_code=201,
    responses=error_responses(400, 401, 403, 404, 408, 409, 413, 422, 503),
    openapi_extra={
        "requestBody": json_request_body(AdapterRequest, {"name": "terse", "folder": "/srv/adapters/terse"})
    },
)
async def load_adapter(request: Request) -> AdapterCard:
    """The status is 201, and requests can name the adapter at once. If an adapter of this name is loaded already, the
    new one replaces it.
    """
    body = await _read_body(request, AdapterRequest)
    return adapter_card(await model_manager(request).add_adapter(body.name, body.folder, body.model))


@router.delete(
    "/v1/admin/adapters/{name}", summary="Unload an adapter", status_code=202, responses=error_responses(401, 403, 404)
)
async def unload_adapter(request: Request, name: AdapterName) -> LoadedList:
    """The status is 202, and the answer is the models that the adapter was loaded on. No further request gets it;
    requests that are being worked on end with it.
    """
    models = model_manager(request)
    return LoadedList(data=[_model_card(models, model) for model in models.remove_adapter(name)])


def _model_card(models: ModelManager, model: LoadedModel) -> LoadedCard:
    return loaded_card(model, list(models.by_id.values()), models.default_name)


async def _read_body(request: Request, model: type[T]) -> T:
    """Return the request's body, validated. Raises what `read_typed_body` raises."""
    settings = app_state(request).service.settings
    # With an `Uploads` of its own, so that the uploads of others cannot keep an operator out.
    with Uploads(settings).new_upload("admin") as upload:
        return await read_typed_body(request, settings, upload, model)
