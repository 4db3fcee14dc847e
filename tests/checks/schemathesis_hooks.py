"""Hooks that give Schemathesis recordings, which it cannot generate: no other request would pass the format check."""

import base64
import json
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import numpy as np
import schemathesis
from hypothesis import strategies
from schemathesis.generation.jsonschema import strategy
from schemathesis.specs.openapi.coverage import _schema as coverage
from schemathesis.transport.serialization import Binary, contains_binary

from tests import recordings
from tests.app.running_service import MODEL, wav

_TONE, _SILENCE = wav(0.3), wav(0.3, 0)
SOUNDS = (
    recordings.encode_audio(recordings.speech("Please call Anna.")),  # speech for the real detector
    _TONE,
    _SILENCE,
    _TONE[:-1000],
    _TONE[:44],
    b"RIFF\xff\xff\xff\xffWAVE",
    recordings.encode_audio(np.full(1000, np.nan, np.float32), subtype="FLOAT"),
    recordings.encode_audio(np.zeros(1000, np.float32), kind="FLAC"),
    b"",
)

schemathesis.openapi.format("binary", strategies.sampled_from(SOUNDS) | strategies.binary(max_size=64))
for media_type in ("audio/*", "video/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, strategies.sampled_from(SOUNDS))


# Schemathesis 4.32 filters its values with validators that raise "Unsupported type: 'Binary'" for bytes.
_build_validator, _build_judges = strategy._validator, coverage._judges


class _LenientJudge:
    """A judge of values that accepts every value with bytes in it."""

    def __init__(self, judge: Any) -> None:
        self._judge = judge

    def is_valid(self, value: Any) -> bool:
        return contains_binary(value) or bool(self._judge.is_valid(value))


def _lenient_validator(schema: Any) -> Callable[[Any], bool]:
    conforms = _build_validator(schema)
    return lambda value: contains_binary(value) or conforms(value)


def _lenient_judges(*given: Any) -> Any:
    return [_LenientJudge(judge) for judge in _build_judges(*given)]


strategy._validator = _lenient_validator  # type: ignore[assignment]
coverage._judges = _lenient_judges


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Use `itemSchema` of OpenAPI 3.2, by which Schemathesis checks each event of a stream; 3.1 does not have it."""
    for path in raw_schema["paths"].values():
        for operation in path.values():
            for answer in operation["responses"].values():
                for media in answer.get("content", {}).values():
                    if "x-itemSchema" in media:
                        media["itemSchema"] = media.pop("x-itemSchema")
                        del media["schema"]


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """Leave out queries and forms that are labelled invalid and are valid.

    A field without a value counts as left out. An empty list is not sent, and Schemathesis labels everything with bytes
    invalid.
    """
    is_invalid = case.meta is not None and case.meta.generation.mode.is_negative
    if is_invalid and case.method == "POST" and "" in (case.query or {}).values():
        return False
    if not is_invalid or case.media_type != "multipart/form-data" or not isinstance(case.body, dict):
        return True
    sent = {name: "" if isinstance(value, Binary) else value for name, value in case.body.items() if value != []}
    schema = case.operation.get_body_for_media_type(case.media_type).validation_schema
    return not jsonschema_rs.validator_for(schema).is_valid(sent)


@schemathesis.hook
def map_case(context: schemathesis.HookContext, case: schemathesis.Case) -> schemathesis.Case:
    """Put a recording and the model's name into most chats that should be valid."""
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    if case.path == "/v1/chat/completions" and is_valid and isinstance(case.body, dict):
        chosen = len(json.dumps(case.body)) % (len(SOUNDS) + 1)
        if chosen < len(SOUNDS):
            sound = {"data": base64.b64encode(SOUNDS[chosen]).decode(), "format": "wav"}
            content = [{"type": "text", "text": "Briefly."}, {"type": "input_audio", "input_audio": sound}]
            case.body |= {"model": MODEL.name, "messages": [{"role": "user", "content": content}]}
    return case
