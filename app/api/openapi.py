"""What OpenAPI cannot read off the routes: bodies that are form or recording, answers in JSON or in events.

Derived from the same typed models the routes validate with, so that the two cannot drift apart. Everything that has a
name is described once, under `component_schemas`, and referred to: `app.api.openapi_document` puts it there. The
document is OpenAPI 3.1, which client generators read; what 3.2 calls `itemSchema` is therefore under `x-itemSchema`.
"""

from typing import Any, Literal

from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.summary_fields import SummaryOptions
from app.core.prompts import Style

SCHEMA_REF_PREFIX = "#/components/schemas/"
ITEM_SCHEMA = "x-itemSchema"
_RECORDING = {"type": "string", "format": "binary", "description": "The recording, in any format that is accepted."}

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A string drawn anew for each request, such as a UUID: a repeat of the request under it gets the "
    "first answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

# Filled while the routes are declared.
_models: dict[str, tuple[type[BaseModel], Literal["validation", "serialization"]]] = {}
_forms: dict[str, dict[str, Any]] = {}


def operation_id(route: APIRoute) -> str:
    """The name of the route's function in camel case, `createSummary`: what generators call their functions."""
    first, *more = route.name.split("_")
    return first + "".join(word.title() for word in more)


def query_parameters(extra_fields: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The fields as query parameters, as a raw body, or none, uses them. more: other fields of the route."""
    return [
        {"name": name, "in": "query", "required": False, "description": field.get("description", ""), "schema": field}
        for name, field in (_summary_field_schemas() | (extra_fields or {})).items()
    ]


def upload_request_body(extra_fields: dict[str, Any] | None = None) -> dict[str, Any]:
    """A form with the recording in `file` or its address in `url`, the recording itself, or nothing but a `url`.

    more: other fields of the route.
    """
    name = "SummaryJobForm" if extra_fields else "SummaryForm"
    _forms[name] = {
        "type": "object",
        "title": name,
        "description": "The recording in `file`, or its address in `url`: one of the two.",
        # Not `oneOf`, of which generators make a union of types.
        "if": {"not": {"required": ["url"]}},
        "then": {"required": ["file"]},
        "not": {"required": ["file", "url"]},
        "additionalProperties": False,
        "properties": {"file": _RECORDING, **_summary_field_schemas(), **(extra_fields or {})},
    }
    return {
        "required": False,
        "description": "A form with the recording in `file` or its address in `url`, or the recording itself and the "
        "fields in the query: as `application/octet-stream`, or as any `audio/*` or `video/*`. Left out where the "
        "query has a `url`.",
        "content": {
            "multipart/form-data": {"schema": {"$ref": SCHEMA_REF_PREFIX + name}},
            "application/octet-stream": {"schema": _RECORDING},
        },
    }


def json_request_body(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    """A body in JSON that the route reads itself. example: one that is accepted, without optional fields."""
    return {
        "required": True,
        "content": {"application/json": {"schema": request_schema_ref(model), "example": example}},
    }


def text_summary_content() -> dict[str, Any]:
    """The answer with `response_format` text or markdown: the summary alone."""
    return {
        "text/plain": {"schema": {"type": "string", "description": "The summary, with `response_format=text`."}},
        "text/markdown": {"schema": {"type": "string", "description": "The summary, `response_format=markdown`."}},
    }


def event_stream_content(description: str, *events: type[BaseModel]) -> dict[str, Any]:
    """An answer in events, of which each `data:` line holds one of `events` as JSON."""
    one = {
        "contentMediaType": "application/json",
        "contentSchema": {"anyOf": [response_schema_ref(event) for event in events]},
    }
    data = {"anyOf": [{"const": "[DONE]"}, one]}
    item = {"type": "object", "properties": {"data": data}, "required": ["data"]}
    stream = {"type": "string", "description": f"Server-sent events; the last is `[DONE]`. {description}"}
    return {"text/event-stream": {"schema": stream, ITEM_SCHEMA: item}}


def request_schema_ref(model: type[BaseModel]) -> dict[str, str]:
    """A reference to what a request's body must be."""
    _models[model.__name__] = model, "validation"
    return {"$ref": SCHEMA_REF_PREFIX + model.__name__}


def response_schema_ref(model: type[BaseModel]) -> dict[str, str]:
    """A reference to what an answer is."""
    _models[model.__name__] = model, "serialization"
    return {"$ref": SCHEMA_REF_PREFIX + model.__name__}


def form_field_schema(field: dict[str, Any]) -> dict[str, Any]:
    """A field of a form or a query, which cannot be null. Without its default, which pages would fill in and send."""
    kinds = [kind for kind in field.get("anyOf", []) if kind.get("type") != "null"]
    (kind,) = kinds or ({},)
    return kind | {key: value for key, value in field.items() if key not in ("anyOf", "default", "title")}


def component_schemas() -> dict[str, Any]:
    """The schemas of all that was referred to, and of what these refer to, by name."""
    found: dict[str, Any] = {}
    for mode in ("serialization", "validation"):
        wanted = [(model, its_mode) for model, its_mode in _models.values() if its_mode == mode]
        _, schemas = models_json_schema(wanted, ref_template=SCHEMA_REF_PREFIX + "{model}")
        found = schemas.get("$defs", {}) | found
    return found | _forms


def _summary_field_schemas() -> dict[str, Any]:
    schemas = [model.model_json_schema(ref_template=SCHEMA_REF_PREFIX + "{model}") for model in (Style, SummaryOptions)]
    return {
        name: _describe_field(form_field_schema(field), schema.get("$defs", {}))
        for schema in schemas
        for name, field in schema["properties"].items()
    }


def _describe_field(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Pydantic leaves a field's description out where the type that it refers to has the same one."""
    if "$ref" not in field or "description" in field:
        return field
    return field | {"description": definitions[field["$ref"].removeprefix(SCHEMA_REF_PREFIX)]["description"]}
