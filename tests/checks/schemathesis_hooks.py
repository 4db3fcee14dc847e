"""What Schemathesis cannot guess: sound. Without it no request would come past the first look at its bytes."""

import base64
import json
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import numpy as np
import schemathesis
from hypothesis import strategies
from schemathesis.generation.jsonschema import strategy
from schemathesis.transport.serialization import Binary, contains_binary

from tests import recordings
from tests.app.running_service import MODEL, wav

_TONE, _SILENCE = wav(0.3), wav(0.3, 0)
SOUNDS = (
    recordings.sound(recordings.speech("Please call Anna.")),  # what a real voice detector lets through
    _TONE,
    _SILENCE,
    _TONE[:-1000],
    _TONE[:44],
    b"RIFF\xff\xff\xff\xffWAVE",
    recordings.sound(np.full(1000, np.nan, np.float32), subtype="FLOAT"),
    recordings.sound(np.zeros(1000, np.float32), kind="FLAC"),
    b"",
)

schemathesis.openapi.format("binary", strategies.sampled_from(SOUNDS) | strategies.binary(max_size=64))
for media_type in ("audio/*", "video/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, strategies.sampled_from(SOUNDS))

# Schemathesis 4.32 filters what it makes with a validator that raises "Unsupported type: 'Binary'" over bytes.
_strict: Any = strategy._validator


def _lenient(schema: Any) -> Callable[[Any], bool]:
    conforms = _strict(schema)
    return lambda value: contains_binary(value) or conforms(value)


strategy._validator = _lenient  # type: ignore[assignment]


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """What 3.1 has no name for: Schemathesis checks each event of a stream by OpenAPI 3.2's `itemSchema`."""
    for path in raw_schema["paths"].values():
        for operation in path.values():
            for answer in operation["responses"].values():
                for media in answer.get("content", {}).values():
                    if "x-itemSchema" in media:
                        media["itemSchema"] = media.pop("x-itemSchema")
                        del media["schema"]


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """Without forms that are called wrong and are not: an empty list is not sent, and what holds bytes is called wrong
    unseen.
    """
    wrong = case.meta is not None and case.meta.generation.mode.is_negative
    if not wrong or case.media_type != "multipart/form-data" or not isinstance(case.body, dict):
        return True
    sent = {name: "" if isinstance(value, Binary) else value for name, value in case.body.items() if value != []}
    schema = case.operation.get_body_for_media_type(case.media_type).validation_schema
    return not jsonschema_rs.validator_for(schema).is_valid(sent)


@schemathesis.hook
def map_case(context: schemathesis.HookContext, case: schemathesis.Case) -> schemathesis.Case:
    """In most chats that are to be valid, the one recording that they have to hold, and the model that there is."""
    valid = case.meta is not None and case.meta.generation.mode.is_positive
    if case.path == "/v1/chat/completions" and valid and isinstance(case.body, dict):
        chosen = len(json.dumps(case.body)) % (len(SOUNDS) + 1)
        if chosen < len(SOUNDS):
            sound = {"data": base64.b64encode(SOUNDS[chosen]).decode(), "format": "wav"}
            content = [{"type": "text", "text": "Briefly."}, {"type": "input_audio", "input_audio": sound}]
            case.body |= {"model": MODEL.name, "messages": [{"role": "user", "content": content}]}
    return case
