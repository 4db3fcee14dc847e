"""What OpenAPI cannot read off the summaries route: a body that is form or recording, an answer in JSON or a stream.

Derived from the same typed models the route validates with, so that the two cannot drift apart.
"""

from typing import Any

from pydantic import BaseModel

from app.api.fields import SummaryOptions
from app.prompts import Style

_RECORDING = {"type": "string", "format": "binary", "description": "The recording, in any format that is accepted."}


IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A string drawn anew for each request, such as a UUID: a repeat of the request under it gets the "
    "first answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def _fields() -> dict[str, Any]:
    return {name: field for model in (Style, SummaryOptions) for name, field in inlined(model)["properties"].items()}


def query_parameters(more: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The fields as query parameters, as a raw body, or none, uses them. more: other fields of the route."""
    return [
        {"name": name, "in": "query", "required": False, "description": field.get("description", ""), "schema": field}
        for name, field in (_fields() | (more or {})).items()
    ]


def request_body(more: dict[str, Any] | None = None) -> dict[str, Any]:
    """A form with the recording in `file` or its address in `url`, the recording itself, or nothing but a `url`.

    more: other fields of the route.
    """
    form = {
        "type": "object",
        "oneOf": [{"required": ["file"]}, {"required": ["url"]}],
        "additionalProperties": False,
        "properties": {"file": _RECORDING, **_fields(), **(more or {})},
    }
    raw = {"schema": _RECORDING}
    return {
        "required": False,
        "description": "A form with the recording in `file` or its address in `url`, or the recording itself and the "
        "fields in the query. Left out where the query has a `url`.",
        "content": {
            "multipart/form-data": {"schema": form},
            "application/octet-stream": raw,
            "audio/*": raw,
            "video/*": raw,
        },
    }


def inlined(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema without references, for what the framework does not read itself."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolved(node: Any) -> Any:
        if isinstance(node, list):
            return [resolved(child) for child in node]
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref")
        meant = resolved(definitions[reference.rsplit("/", 1)[1]]) if isinstance(reference, str) else {}
        # A discriminator's mapping names definitions, too; the parts' own `type` says the same.
        return meant | {key: resolved(child) for key, child in node.items() if key not in ("$ref", "discriminator")}

    return dict(resolved(schema))


def bare_summaries() -> dict[str, Any]:
    """The answer with `response_format` text or markdown: the summary alone."""
    return {
        "text/plain": {"schema": {"type": "string", "description": "The summary, with `response_format=text`."}},
        "text/markdown": {"schema": {"type": "string", "description": "The summary, `response_format=markdown`."}},
    }


def event_stream(description: str, *events: type[BaseModel]) -> dict[str, Any]:
    """An answer in events, of which each `data:` line holds one of `events` as JSON; the last is `[DONE]`.

    `itemSchema` is OpenAPI 3.2's; the framework's own event streams are described by it in 3.1, too.
    """
    one = {"contentMediaType": "application/json", "contentSchema": {"anyOf": [inlined(event) for event in events]}}
    data = {"anyOf": [{"const": "[DONE]"}, one]}
    item = {"type": "object", "description": description, "properties": {"data": data}, "required": ["data"]}
    return {"text/event-stream": {"itemSchema": item}}
