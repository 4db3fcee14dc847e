"""Summaries as data: the JSON Schema that an answer must follow, and the answer read by it.

The engine enforces the schema token by token (vLLM's structured outputs); here it is checked before and read after.
Sizes are bounded in `MEETING`, so that a small model comes to an end. Knows nothing about engines or HTTP.
"""

import json
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError

from app import prompts
from app.errors import InvalidRequest
from app.job import Form

TOKENS = 1024  # a JSON object takes more than the same in words
# A schema is compiled into a grammar: what is deeper or larger takes a compiler that long for nobody's summary.
MAX_DEPTH, MAX_NODES = 12, 500


def _lines(most: int, description: str) -> dict[str, Any]:
    return {
        "type": "array",
        "maxItems": most,
        "items": {"type": "string", "maxLength": 300},
        "description": description,
    }


MEETING: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 120},
        "summary": {"type": "string", "maxLength": 2000},
        "key_points": _lines(12, "What was said, the most important first."),
        "decisions": _lines(12, "What was decided."),
        "action_items": {
            "type": "array",
            "maxItems": 12,
            "items": {
                "type": "object",
                "properties": {
                    "who": {"type": "string", "maxLength": 100},
                    "what": {"type": "string", "maxLength": 300},
                    "when": {"type": "string", "maxLength": 100},
                },
                "required": ["who", "what", "when"],
                "additionalProperties": False,
            },
            "description": "Who does what by when; empty strings for what was not said.",
        },
        "open_questions": _lines(12, "What was asked and not answered."),
    },
    "required": ["title", "summary", "key_points", "decisions", "action_items", "open_questions"],
    "additionalProperties": False,
}


def schema_of(text: str, param: str = "json_schema") -> dict[str, Any]:
    """A caller's JSON Schema (draft 2020-12) for an object. Raises InvalidRequest (400) with what is wrong with it.

    param: the field that it came in.
    """

    def invalid(what: str) -> InvalidRequest:
        return InvalidRequest(f"{param}: the schema {what}.", code="invalid_json_schema", param=param)

    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(f"is no JSON: {error}") from None
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise invalid('must be an object whose "type" is "object"')
    depth, nodes = _size(schema)
    if depth > MAX_DEPTH or nodes > MAX_NODES:
        raise invalid(f"has {nodes} parts, {depth} deep; at most {MAX_NODES}, {MAX_DEPTH} deep, are accepted")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise invalid(f"is no JSON Schema: {error.message}") from None
    return schema


def form_of(text: str, param: str) -> Form:
    """The form of an answer by a caller's own schema. Raises InvalidRequest as `schema_of`."""
    schema = schema_of(text, param)
    return Form(prompts.by_schema(json.dumps(schema, ensure_ascii=False)), schema, TOKENS)


def read(text: str, schema: dict[str, Any]) -> tuple[Any, str | None]:
    """The answer's value, and None; or None and what is wrong with the answer, in a sentence."""
    try:
        value = json.loads(text)
        Draft202012Validator(schema).validate(value)
    except ValueError:
        return None, "The JSON breaks off: `structured` is null, and `summary` holds as much as was written."
    except ValidationError as error:
        where = "/".join(str(part) for part in error.absolute_path) or "its root"
        return None, f"The JSON does not follow the schema at {where}: `structured` is null."
    return value, None


def _size(node: Any) -> tuple[int, int]:
    """(depth, nodes) of a JSON value."""
    inside = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
    below = [_size(one) for one in inside]
    return 1 + max((depth for depth, _ in below), default=0), 1 + sum(nodes for _, nodes in below)
