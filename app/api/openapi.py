"""The parts of the OpenAPI document that FastAPI cannot derive from the routes: bodies that are a form or a recording,
and responses in JSON or in events.

They are derived from the typed models by which the routes validate, so that both always agree. Everything with a name
is described once, in `component_schemas`, and referred to; `app.api.openapi_document` adds it to the document. The
document is OpenAPI 3.1, because client generators read that version; `itemSchema` of OpenAPI 3.2 is therefore called
`x-itemSchema`.
"""

from typing import Any, Literal

from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.summary_fields import SummaryOptions
from app.core.prompts import Style

SCHEMA_REF_PREFIX = "#/components/schemas/"
ITEM_SCHEMA = "x-itemSchema"
_RECORDING = {"type": "string", "format": "binary", "description": "The recording, in any accepted format."}

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A new string for each request, such as a UUID. A request that is repeated with the same key gets "
    "the answer of the first one.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

# These are filled while the routes are declared.
_models: dict[str, tuple[type[BaseModel], Literal["validation", "serialization"]]] = {}
_forms: dict[str, dict[str, Any]] = {}


def operation_id(route: APIRoute) -> str:
    """Return the name of the route's function in camel case, such as `createSummary`. Client generators use it as the
    name of a function.
    """
    first, *rest = route.name.split("_")
    return first + "".join(word.title() for word in rest)


def query_parameters(extra_fields: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the fields as query parameters, for requests without a form. extra_fields: schemas of the route's own
    fields, by name.
    """
    return [
        {"name": name, "in": "query", "required": False, "description": field.get("description", ""), "schema": field}
        for name, field in (_summary_field_schemas() | (extra_fields or {})).items()
    ]


def upload_request_body(extra_fields: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the description of a body that is a form, the recording itself, or empty if the query has a `url`.

    extra_fields: schemas of the route's own fields, by name.
    """
    name = "SummaryJobForm" if extra_fields else "SummaryForm"
    _forms[name] = {
        "type": "object",
        "title": name,
        "description": "The form holds the recording in `file`, its URL in `url`, or the `recording_id` of a kept one.",
        # Not `oneOf`, which generators turn into a union of types.
        "if": {"not": {"required": ["url"]}, "properties": {"recording_id": False}},
        "then": {"required": ["file"]},
        "not": {"required": ["file", "url"]},
        "dependentSchemas": {"recording_id": {"not": {"anyOf": [{"required": ["file"]}, {"required": ["url"]}]}}},
        "additionalProperties": False,
        "properties": {"file": _RECORDING, **_summary_field_schemas(), **(extra_fields or {})},
    }
    return {
        "required": False,
        "description": "A form with the recording in `file`, its URL in `url`, or the `recording_id` of a kept one; or "
        "the recording itself, as `application/octet-stream`, `audio/*` or `video/*`, with the fields in the query. "
        "Leave it out if the query has a `url` or a `recording_id`.",
        "content": {
            "multipart/form-data": {"schema": {"$ref": SCHEMA_REF_PREFIX + name}},
            "application/octet-stream": {"schema": _RECORDING},
        },
    }


def json_request_body(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a JSON body that the route reads itself. example: a valid body with required fields
    only.
    """
    return {
        "required": True,
        "content": {"application/json": {"schema": request_schema_ref(model), "example": example}},
    }


def text_summary_content() -> dict[str, Any]:
    """Return the description of the responses with the `response_format` text and markdown."""
    return {
        "text/plain": {"schema": {"type": "string", "description": "The summary alone, with `response_format=text`."}},
        "text/markdown": {
            "schema": {"type": "string", "description": "The summary alone, with `response_format=markdown`."}
        },
    }


def event_stream_content(description: str, *events: type[BaseModel]) -> dict[str, Any]:
    """Return the description of a stream of events, in which each `data:` line holds one of `events` as JSON."""
    one = {
        "contentMediaType": "application/json",
        "contentSchema": {"anyOf": [response_schema_ref(event) for event in events]},
    }
    data = {"anyOf": [{"const": "[DONE]"}, one]}
    item = {"type": "object", "properties": {"data": data}, "required": ["data"]}
    stream = {"type": "string", "description": f"Server-sent events; the last is `[DONE]`. {description}"}
    return {"text/event-stream": {"schema": stream, ITEM_SCHEMA: item}}


def request_schema_ref(model: type[BaseModel]) -> dict[str, str]:
    """Return a reference to the schema of a request's body."""
    _models[model.__name__] = model, "validation"
    return {"$ref": SCHEMA_REF_PREFIX + model.__name__}


def response_schema_ref(model: type[BaseModel]) -> dict[str, str]:
    """Return a reference to the schema of a response."""
    _models[model.__name__] = model, "serialization"
    return {"$ref": SCHEMA_REF_PREFIX + model.__name__}


def form_field_schema(field: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a field as a form or a query has it: it cannot be null, and it has no default, because web
    pages would fill the default in and send it.
    """
    kinds = [kind for kind in field.get("anyOf", []) if kind.get("type") != "null"]
    (kind,) = kinds or ({},)
    return kind | {key: value for key, value in field.items() if key not in ("anyOf", "default", "title")}


def component_schemas() -> dict[str, Any]:
    """Return all schemas that were referred to, and those to which these refer, by name."""
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
    """Return the schema with a description. Pydantic omits it if the type that the field refers to has the same one."""
    if "$ref" not in field or "description" in field:
        return field
    return field | {"description": definitions[field["$ref"].removeprefix(SCHEMA_REF_PREFIX)]["description"]}
