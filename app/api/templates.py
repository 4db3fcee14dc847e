"""`/v1/templates`: the routes of summary templates. How they are kept is in `app.templates`, how a request uses one in
`app.summarize.templates`.
"""

from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from starlette.responses import Response

from app.api.app_state import app_state
from app.api.auth import Caller, Credentials, authenticate, authenticate_and_charge
from app.api.error_responses import error_responses
from app.api.openapi import json_request_body
from app.api.query_parameters import reject_unknown_query
from app.api.request_scope import check_schema
from app.api.templates_protocol import TemplateCard, TemplateList, TemplateRequest, template_card
from app.api.typed_body import read_typed_body
from app.summarize.structured.output_format import schema_output_format
from app.templates.template import MAX_NAME_CHARACTERS, TemplateContent

router = APIRouter(tags=["templates"], dependencies=[Depends(reject_unknown_query)])

PATH = "/v1/templates"
_EXAMPLE = {"description": "A talk with a customer.", "instruction": "Say what the customer wants and why."}
T = TypeVar("T", bound=TemplateContent)
Name = Annotated[str, InPath(max_length=MAX_NAME_CHARACTERS, description="Name of the template.")]


@router.get(PATH, summary="List the templates", responses=error_responses(400, 401, 503))
async def list_templates(request: Request, credentials: Credentials) -> TemplateList:
    """The list holds the built-in templates and those of your API key; without a key, those that all callers without
    one share.
    """
    caller = await authenticate(request, credentials)
    found = await app_state(request).templates.list_templates(caller.owner)
    return TemplateList(data=[template_card(one) for one in found])


@router.post(
    PATH,
    summary="Create a template",
    status_code=201,
    responses=error_responses(400, 401, 408, 409, 413, 429, 503),
    openapi_extra={"requestBody": json_request_body(TemplateRequest, {"name": "discovery", **_EXAMPLE})},
)
async def create_template(request: Request, credentials: Credentials) -> TemplateCard:
    """The template is yours: only requests with your API key find it. If there is another one of this name already, the
    status is 409; a repeat of the same request does no harm.
    """
    caller = await authenticate_and_charge(request, credentials, "")
    body = await _read_body(request, caller, TemplateRequest)
    return template_card(await app_state(request).templates.create(caller.owner, body.name, body.content))


@router.get(PATH + "/{name}", summary="Look up a template", responses=error_responses(400, 401, 404, 503))
async def get_template(request: Request, credentials: Credentials, name: Name) -> TemplateCard:
    """The answer is a built-in template or one of yours."""
    caller = await authenticate(request, credentials)
    return template_card(await app_state(request).templates.get(caller.owner, name))


@router.put(
    PATH + "/{name}",
    summary="Replace a template",
    responses=error_responses(400, 401, 404, 408, 409, 413, 429, 503),
    openapi_extra={"requestBody": json_request_body(TemplateContent, _EXAMPLE)},
)
async def replace_template(request: Request, credentials: Credentials, name: Name) -> TemplateCard:
    """Everything in the template but its name is replaced; a field that is left out is empty afterwards. Jobs that are
    queued keep the template that they were queued with.
    """
    caller = await authenticate_and_charge(request, credentials, "")
    body = await _read_body(request, caller, TemplateContent)
    return template_card(await app_state(request).templates.replace(caller.owner, name, body))


@router.delete(
    PATH + "/{name}", summary="Delete a template", status_code=204, responses=error_responses(400, 401, 404, 409, 503)
)
async def delete_template(request: Request, credentials: Credentials, name: Name) -> Response:
    """No further request finds the template. Jobs that are queued keep it."""
    caller = await authenticate(request, credentials)
    await app_state(request).templates.delete(caller.owner, name)
    return Response(status_code=204)


async def _read_body(request: Request, caller: Caller, model: type[T]) -> T:
    """Return the template in the request's body, with its schema checked as that of a request for a summary is.

    Raises: InvalidRequest (400) if it is invalid, RequestTimeout (408) if it is too slow, TooLarge (413).
    """
    service = app_state(request).service
    with service.admission.uploads.new_upload(caller.name) as upload:
        content = await read_typed_body(request, service.settings, upload, model)
        if content.json_schema is not None:
            output_format = schema_output_format(content.json_schema, param="json_schema")
            await check_schema(request, service, output_format)
    return content
