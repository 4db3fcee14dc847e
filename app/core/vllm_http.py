"""The parts of a vLLM server's HTTP API that the service and the training pipeline both use.

The service streams answers without blocking (`app.engine.remote`), and the pipeline waits for whole answers in threads
(`training.kd`). What they share is here: the sampling fields that switch a checkpoint's own off, the recording inside a
message, the limits of the connections, and the reading of an error. The names are those of vLLM 0.32's
`ChatCompletionRequest`. Knows nothing about settings or about what is asked.
"""

import json
from contextlib import suppress
from typing import Any

import httpx

# Every request states these fields, so that neither the server's defaults nor the checkpoint's `generation_config.json`
# apply. The values leave the model's distribution as it is.
NEUTRAL_SAMPLING: dict[str, Any] = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}

# Each request gets a connection of its own. The server may close an idle connection at the moment when the next request
# goes out on it, and the client cannot know whether that request was read.
CONNECTION_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=0)

MAX_ERROR_CHARACTERS = 2000


def insert_audio(messages: list[dict[str, Any]], data: str) -> list[dict[str, Any]]:
    """Return chat messages with the recording in place of each part of type "audio".

    data: a WAV file in base64.
    """
    audio_part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}

    def replace_audio(content: Any) -> Any:
        if isinstance(content, str):
            return content
        return [audio_part if part["type"] == "audio" else part for part in content]

    return [message | {"content": replace_audio(message["content"])} for message in messages]


def error_message(body: bytes) -> str:
    """Return the message in the body of an error response, at most `MAX_ERROR_CHARACTERS` characters of it."""
    text = body.decode("utf-8", "replace").strip()
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["error"]["message"])
    return text[:MAX_ERROR_CHARACTERS] or "the server gave no reason"
