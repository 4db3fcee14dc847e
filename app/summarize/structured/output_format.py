"""Summaries as JSON: the schema that the answer must follow, which is the service's own or the caller's.

The engine enforces the schema token by token (vLLM's structured outputs). A caller's schema is checked before
(`app.summarize.structured.json_schema`, `app.summarize.structured.schema_workers`), and the answer is parsed with it
afterwards (`app.summarize.structured.schema_tasks`). Sizes are bounded in `MEETING_SCHEMA`, so that a small model comes
to an end. Knows nothing about engines or HTTP.
"""

import json
from typing import Any

from app.core import prompts
from app.core.errors import InvalidRequest
from app.summarize.request import OutputFormat
from app.summarize.structured.json_schema import InvalidSchema, check_schema_size, parse_schema

STRUCTURED_TOKENS = 1024  # a JSON object needs more tokens than the same content as prose


def _string_list(most: int, description: str) -> dict[str, Any]:
    return {
        "type": "array",
        "maxItems": most,
        "items": {"type": "string", "maxLength": 300},
        "description": description,
    }


MEETING_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 120},
        "summary": {"type": "string", "maxLength": 2000},
        "key_points": _string_list(12, "What was said, the most important first."),
        "decisions": _string_list(12, "What was decided."),
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
        "open_questions": _string_list(12, "What was asked and not answered."),
    },
    "required": ["title", "summary", "key_points", "decisions", "action_items", "open_questions"],
    "additionalProperties": False,
}


# A model that was not trained to write JSON without spaces writes worse JSON without them. llguidance reads these
# options at a schema's root. Other spaces stay forbidden, because a model could fill an answer with them.
_SPACED = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}


def with_spaces(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the same schema for JSON with one space after each colon and each comma."""
    return schema | {"x-guidance": _SPACED}


def parse_caller_schema(text: str, param: str = "json_schema") -> dict[str, Any]:
    """Return a caller's JSON Schema for an object in the form that the engine gets.

    Raises InvalidRequest (400) if it cannot be used. Faults that only the grammar compiler finds are left to
    `app.summarize.structured.schema_workers`. param: the field of the request that it came in.
    """
    try:
        return parse_schema(text)
    except InvalidSchema as fault:
        raise _invalid_schema_error(fault, param) from None


def schema_output_format(schema: str | dict[str, Any], param: str) -> OutputFormat:
    """Return the output format for a caller's own schema, given as text or as a parsed value.

    Raises InvalidRequest (400) if it cannot be used. param: the field of the request that it came in.
    """
    if not isinstance(schema, str):
        try:
            check_schema_size(schema)
        except InvalidSchema as fault:
            raise _invalid_schema_error(fault, param) from None
        schema = json.dumps(schema, ensure_ascii=False)
    parsed = parse_caller_schema(schema, param)
    return OutputFormat(
        prompts.schema_instruction(json.dumps(parsed, ensure_ascii=False)), parsed, STRUCTURED_TOKENS, param
    )


def _invalid_schema_error(fault: InvalidSchema, param: str) -> InvalidRequest:
    return InvalidRequest(f"{param}: the schema {fault}.", code="invalid_json_schema", param=param)
