"""OpenAI's parameters that this service does not support, and those that have no effect on an answer.

A parameter that would change the answer and cannot be obeyed is refused by its name. A value that asks for nothing
(`tools: []`, `frequency_penalty: 0`) is accepted, because many clients always send one. Source: OpenAI's API reference,
`POST /v1/chat/completions`.
"""

import json
from typing import Any

from app.core.errors import InvalidRequest, quote

# Unsupported parameters, with the values that ask for nothing.
NEUTRAL_VALUES: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0, None),
    "presence_penalty": (0, None),
    "logit_bias": ({}, None),
    "logprobs": (False, None),
    "top_logprobs": (0, None),
    "tools": ([], None),
    "tool_choice": ("none", "auto", None),
    "functions": ([], None),
    "function_call": ("none", "auto", None),
    "parallel_tool_calls": (True, False, None),
    "modalities": (["text"], None),
    "audio": (None,),
    "prediction": (None,),
    "reasoning_effort": (None,),
    "web_search_options": (None,),
}
_NO_TOOLS = "this service summarizes recordings and calls no tools"
_NO_PENALTIES = "the sampling parameters are temperature, top_p and seed"
UNSUPPORTED_REASONS = {
    "tools": _NO_TOOLS,
    "tool_choice": _NO_TOOLS,
    "functions": _NO_TOOLS,
    "function_call": _NO_TOOLS,
    "frequency_penalty": _NO_PENALTIES,
    "presence_penalty": _NO_PENALTIES,
    "logit_bias": _NO_PENALTIES,
    "logprobs": "answers come without the probabilities of their tokens",
    "top_logprobs": "answers come without the probabilities of their tokens",
    "modalities": "answers are text",
    "audio": "answers are text",
}
# They describe the call, and change nothing about the answer.
IGNORED_PARAMETERS = ("user", "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "verbosity")


def _neutral_schema(kind: str, **limits: Any) -> dict[str, Any]:
    return {
        "type": [kind, "null"],
        "description": "Not supported; only values that ask for nothing are accepted.",
        **limits,
    }


_NEUTRAL_SCHEMAS = {
    "frequency_penalty": _neutral_schema("number", minimum=0, maximum=0),
    "presence_penalty": _neutral_schema("number", minimum=0, maximum=0),
    "logit_bias": _neutral_schema("object", maxProperties=0),
    "logprobs": _neutral_schema("boolean", **{"not": {"const": True}}),
    "top_logprobs": _neutral_schema("integer", minimum=0, maximum=0),
    "tools": _neutral_schema("array", maxItems=0, items={}),
    "tool_choice": _neutral_schema("string", pattern="^(none|auto)$"),
    "functions": _neutral_schema("array", maxItems=0, items={}),
    "function_call": _neutral_schema("string", pattern="^(none|auto)$"),
    "parallel_tool_calls": _neutral_schema("boolean"),
    "modalities": _neutral_schema("array", minItems=1, maxItems=1, items={"type": "string", "pattern": "^text$"}),
}


def add_openai_parameters(schema: dict[str, Any]) -> None:
    """Add what `check_parameters` accepts to the JSON Schema of `ChatRequest`, and exclude everything else."""
    nothing = {"type": "null", "description": "Not supported."}
    schema["properties"] |= {name: _NEUTRAL_SCHEMAS.get(name, nothing) for name in NEUTRAL_VALUES}
    schema["properties"] |= {name: {"description": "Has no effect."} for name in IGNORED_PARAMETERS}
    schema["additionalProperties"] = False


def check_parameters(parameters: dict[str, Any]) -> None:
    """Check the parameters that are not fields of `ChatRequest`.

    Raises: InvalidRequest (400) for a name that OpenAI's API does not have, and for a parameter that is not supported
        unless its value asks for nothing.
    """
    for name, value in parameters.items():
        if name in IGNORED_PARAMETERS:
            continue
        if name not in NEUTRAL_VALUES:
            raise InvalidRequest(f"Unknown parameter {quote(name)}.", code="unknown_parameter", param=name)
        if not _is_neutral(name, value):
            allowed = " or ".join(json.dumps(known) for known in NEUTRAL_VALUES[name])
            reason = UNSUPPORTED_REASONS.get(name, "this service has nothing like it")
            raise InvalidRequest(
                f"{name} is not supported: {reason}. Leave it out; a value that asks for nothing ({allowed}) is "
                "accepted.",
                code="unsupported_parameter",
                param=name,
            )


def _is_neutral(name: str, value: Any) -> bool:
    """Return whether the value of an unsupported parameter leaves the answer as it is. `False` is not 0."""
    if isinstance(value, float) and value == 0:
        value = 0
    return any(type(value) is type(known) and value == known for known in NEUTRAL_VALUES[name])
