"""`/v1/vocabulary`: the routes of the vocabulary that an API key has for all of its requests.

How it is kept is in `app.keys.vocabularies`.
"""

from typing import Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.responses import Response

from app.api.app_state import app_state
from app.api.auth import Caller, Credentials, authenticate, authenticate_and_charge
from app.api.background_fields import check_background, clean_terms
from app.api.error_responses import error_responses
from app.api.openapi import json_request_body
from app.api.protocol import ResponseModel
from app.api.query_parameters import reject_unknown_query
from app.api.typed_body import read_typed_body
from app.core.background import Background
from app.core.errors import Unauthorized

router = APIRouter(tags=["vocabulary"], dependencies=[Depends(reject_unknown_query)])

PATH = "/v1/vocabulary"


class VocabularyRequest(BaseModel):
    """The names and terms that a key has from now on, the most important first."""

    model_config = ConfigDict(extra="forbid")

    terms: list[str] = Field(description="Names and terms in their spelling, of at most 80 characters each.")

    @field_validator("terms")
    @classmethod
    def _clean_terms(cls, terms: list[str]) -> list[str]:
        return list(clean_terms(terms))


class Vocabulary(ResponseModel):
    """The names and terms of an API key. They stand behind those of a request's own `vocabulary`."""

    object: Literal["vocabulary"] = "vocabulary"
    terms: list[str]


@router.get(PATH, summary="Get your key's vocabulary", responses=error_responses(400, 401, 503))
async def get_vocabulary(request: Request, credentials: Credentials) -> Vocabulary:
    """The list is empty if the key has none."""
    caller = _require_owner(await authenticate(request, credentials))
    return Vocabulary(terms=list(await app_state(request).keys.vocabularies.get(caller.owner)))


@router.put(
    PATH,
    summary="Set your key's vocabulary",
    responses=error_responses(400, 401, 408, 413, 429, 503),
    openapi_extra={"requestBody": json_request_body(VocabularyRequest, {"terms": ["Aoife Gallagher"]})},
)
async def replace_vocabulary(request: Request, credentials: Credentials) -> Vocabulary:
    """All summaries, chats and jobs of the key that are worked on from now on have these names and terms."""
    caller = _require_owner(await authenticate_and_charge(request, credentials, ""))
    state = app_state(request)
    service = state.service
    with service.admission.uploads.new_upload(caller.name) as upload:
        body = await read_typed_body(request, service.settings, upload, VocabularyRequest)
    terms = tuple(body.terms)
    check_background(Background(vocabulary=terms), service.settings.limits)
    await state.keys.vocabularies.replace(caller.owner, terms)
    return Vocabulary(terms=list(terms))


@router.delete(PATH, summary="Delete your key's vocabulary", status_code=204, responses=error_responses(400, 401, 503))
async def delete_vocabulary(request: Request, credentials: Credentials) -> Response:
    """Requests have no other vocabulary than their own from now on."""
    caller = _require_owner(await authenticate(request, credentials))
    await app_state(request).keys.vocabularies.replace(caller.owner, ())
    return Response(status_code=204)


def _require_owner(caller: Caller) -> Caller:
    if not caller.owner:
        raise Unauthorized(
            "A vocabulary is kept for an API key. Send one as `Authorization: Bearer <key>`, or name the terms in the "
            "`vocabulary` of each request.",
            code="missing_api_key",
        )
    return caller
