"""Summaries as data: the JSON Schema that an answer must follow, the service's own or the caller's.

The engine enforces the schema token by token (vLLM's structured outputs). A caller's schema is checked before
(`app.summarize.structured.json_schema`, `app.summarize.structured.schema_workers`), and the answer is read by it after
(`app.summarize.structured.schema_tasks`). Sizes are bounded in `MEETING`, so that a small model comes to an end. Knows
nothing about engines or HTTP.
"""

import json
from typing import Any

from app.core import prompts
from app.core.errors import InvalidRequest
from app.summarize.request import Form
from app.summarize.structured.json_schema import InvalidSchema, check_size, parse_schema

TOKENS = 1024  # a JSON object takes more than the same in words


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
    """A caller's JSON Schema for an object, as the engine gets it. Raises InvalidRequest (400) with what is wrong with
    it; what only the grammar compiler finds is left to `app.summarize.structured.schema_workers`.

    param: the field that it came in.
    """
    try:
        return parse_schema(text)
    except InvalidSchema as fault:
        raise _invalid(fault, param) from None


def form_of(schema: str | dict[str, Any], param: str) -> Form:
    """The form of an answer by a caller's own schema, as a text or as a value. Raises InvalidRequest as `schema_of`."""
    if not isinstance(schema, str):
        try:
            check_size(schema)
        except InvalidSchema as fault:
            raise _invalid(fault, param) from None
        schema = json.dumps(schema, ensure_ascii=False)
    parsed = schema_of(schema, param)
    return Form(prompts.by_schema(json.dumps(parsed, ensure_ascii=False)), parsed, TOKENS, param)


def _invalid(fault: InvalidSchema, param: str) -> InvalidRequest:
    return InvalidRequest(f"{param}: the schema {fault}.", code="invalid_json_schema", param=param)
