"""`/v1/admin`: which models are loaded, with which weights and adapters. What that means is in `app.models`."""

from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from pydantic import BaseModel, ValidationError

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
from app.api.auth import require_admin
from app.api.error_responses import responses
from app.api.json_body import take_in
from app.api.models import models_of
from app.api.openapi import json_body
from app.api.summary_fields import invalid_field
from app.api.upload import read_json
from app.core.errors import InvalidRequest
from app.models.loaded_model import LoadedModel
from app.models.manager import Models
from app.service import Service

router = APIRouter(tags=["admin"], dependencies=[Depends(require_admin)])

T = TypeVar("T", bound=BaseModel)
Id = Annotated[str, InPath(description="`name@version`.")]
Name = Annotated[str, InPath(description="Its name.")]


@router.get("/v1/admin/models", summary="List the loaded models", responses=responses(401, 403))
async def list_loaded(request: Request) -> LoadedList:
    """Those that are loaded, are being loaded, failed, or were unloaded."""
    models = models_of(request)
    for model in list(models.all.values()):
        await model.check()
    return LoadedList(data=[_card(models, model) for model in models.all.values()])


@router.post(
    "/v1/admin/models",
    summary="Load a model",
    status_code=202,
    responses=responses(400, 401, 403, 404, 408, 409, 413, 422),
    openapi_extra={"requestBody": json_body(LoadRequest, {"model": ""})},
)
async def load_model(request: Request) -> LoadedCard:
    """202: it loads in the background. With `replace` it takes the place of another once it is ready: from then on no
    request gets the old one, which is unloaded when the last one inside has left. If it fails, the old one stays.
    """
    models = models_of(request)
    asked = await _asked(request, LoadRequest)
    return _card(models, await models.load(asked.model, asked.weight, asked.urls, asked.replace))


@router.get("/v1/admin/models/{id}", summary="Look at a loaded model", responses=responses(401, 403, 404))
async def get_loaded(request: Request, id: Id) -> LoadedCard:
    """How it is now."""
    models = models_of(request)
    model = models.get(id)
    await model.check()
    return _card(models, model)


@router.patch(
    "/v1/admin/models/{id}",
    summary="Weigh a model",
    responses=responses(400, 401, 403, 404, 408, 409, 413),
    openapi_extra={"requestBody": json_body(WeightRequest, {"weight": 100})},
)
async def weigh_model(request: Request, id: Id) -> LoadedCard:
    """Of the requests that come from now on, others get it."""
    models = models_of(request)
    asked = await _asked(request, WeightRequest)
    return _card(models, models.weigh(id, asked.weight))


@router.delete(
    "/v1/admin/models/{id}", summary="Unload a model", status_code=202, responses=responses(401, 403, 404, 409)
)
async def unload_model(request: Request, id: Id) -> LoadedCard:
    """202: no request gets it any more; it is gone when the last one inside, a job too, has left."""
    models = models_of(request)
    return _card(models, models.unload(id))


@router.post(
    "/v1/admin/adapters",
    summary="Load an adapter",
    status_code=201,
    responses=responses(400, 401, 403, 404, 408, 409, 413, 422, 503),
    openapi_extra={"requestBody": json_body(AdapterRequest, {"name": "terse", "folder": "/srv/adapters/terse"})},
)
async def load_adapter(request: Request) -> AdapterCard:
    """201 once requests may name it. Under a name that is loaded, the new one takes the old one's place."""
    asked = await _asked(request, AdapterRequest)
    return adapter_card(await models_of(request).add_adapter(asked.name, asked.folder, asked.model))


@router.delete(
    "/v1/admin/adapters/{name}", summary="Unload an adapter", status_code=202, responses=responses(401, 403, 404)
)
async def unload_adapter(request: Request, name: Name) -> LoadedList:
    """202, with the models that it was loaded on: no request gets it any more; those inside still end with it."""
    models = models_of(request)
    return LoadedList(data=[_card(models, model) for model in models.drop_adapter(name)])


def _card(models: Models, model: LoadedModel) -> LoadedCard:
    return loaded_card(model, list(models.all.values()), models.default)


async def _asked(request: Request, model: type[T]) -> T:
    """The body, read only once it is known that the caller may. Raises InvalidRequest (400), RequestTimeout (408),
    TooLarge (413).
    """
    service: Service = request.app.state.service
    settings = service.settings
    # An upload of its own: an operator is not kept out by how many others upload.
    with Uploads(settings).upload("admin") as upload:
        with await read_json(request, settings, upload, "json_text_bytes") as file:
            body = take_in(file, settings.limits)
        if body.long:
            raise InvalidRequest(f"{body.path_of(body.long)} is too long.", code="invalid_field")
        try:
            return model.model_validate_json(body.text)
        except ValidationError as error:
            raise invalid_field(error.errors(include_input=False, include_url=False)) from None
