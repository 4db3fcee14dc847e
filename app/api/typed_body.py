"""Reads a small JSON body by a route, and not by FastAPI, so that nothing is read for a caller who may not do this.

Knows nothing about what the body means.
"""

from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from app.admission.uploads import Upload
from app.api.json_body import load_json_body
from app.api.summary_fields import invalid_field_error
from app.api.upload import read_json
from app.core.errors import InvalidRequest
from app.settings import Settings

T = TypeVar("T", bound=BaseModel)


async def read_typed_body(request: Request, settings: Settings, upload: Upload, model: type[T]) -> T:
    """Return the request's body, validated. upload: counts what is received.

    Raises: InvalidRequest (400) if it is invalid, RequestTimeout (408) if it is too slow, TooLarge (413).
    """
    with await read_json(request, settings, upload, "json_text_bytes") as file:
        body = load_json_body(file, settings.limits)
    if body.long_strings:
        raise InvalidRequest(f"{body.path_of(body.long_strings)} is too long.", code="invalid_field")
    try:
        return model.model_validate_json(body.text)
    except ValidationError as error:
        raise invalid_field_error(error.errors(include_input=False, include_url=False)) from None
