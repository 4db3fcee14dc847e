"""What a vLLM server is sent for one answer: the body of `POST /v1/chat/completions`.

Everything is said explicitly, so that neither the server's defaults nor the checkpoint's `generation_config.json` write
otherwise than the engine in this process would; the names are those of vLLM 0.32's `ChatCompletionRequest`. A recording
goes as 32-bit float WAV in base64: the very samples, and a third more bytes than they have. A priority is not sent: a
server refuses it unless it was started with `--scheduling-policy priority`, and who comes first is settled before
that, where the service hands out its places (`app.summarize.priority_limiter`). Knows nothing about connections.
"""

import base64
import json
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from app.core.audio.wav import encode_float_wav
from app.engine.chat_request import MAX_PATTERN_TOKENS, MIN_PATTERN_TOKENS, MIN_REPEATS, Messages, SamplingOptions


class CompletionRequest:
    """One request, for any server. Making it of a long recording takes a tenth of a second: make it in a thread.

    adapter: its adapter's name, if it is written with one. messages: without control tokens. context: the model's, in
    tokens. audio: for the messages' placeholder.
    """

    def __init__(
        self,
        messages: Messages,
        sampling: SamplingOptions,
        request_id: str,
        context: int,
        audio: NDArray[np.float32] | None = None,
    ) -> None:
        self.adapter = sampling.adapter.name if sampling.adapter else None
        place = uuid4().hex  # where the recording goes: encoding 25 MB of base64 as JSON would stop all others
        said = {
            "messages": _insert_audio(messages, place),
            "request_id": request_id,
            **_sampling_fields(sampling, context),
        }
        self._before, _, self._after = json.dumps(said)[1:].encode().partition(place.encode())
        self._audio = b"" if audio is None else base64.b64encode(encode_float_wav(audio))

    def body(self, model: str) -> list[bytes]:
        """The JSON in parts, for the name that the model has at a server."""
        return [b'{"model": ' + json.dumps(model).encode() + b", ", self._before, self._audio, self._after]


def _insert_audio(messages: Messages, data: str) -> Messages:
    """The messages with the recording at its placeholder."""
    part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}

    def content(given: Any) -> Any:
        return given if isinstance(given, str) else [part if one["type"] == "audio" else one for one in given]

    return [message | {"content": content(message["content"])} for message in messages]


def _sampling_fields(sampling: SamplingOptions, context: int) -> dict[str, Any]:
    said: dict[str, Any] = {
        # A server refuses to be asked for more tokens than the context holds; within it, it writes what fits.
        "max_completion_tokens": min(sampling.max_tokens, context),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "repetition_detection": {
            "max_pattern_size": MAX_PATTERN_TOKENS,
            "min_pattern_size": MIN_PATTERN_TOKENS,
            "min_count": MIN_REPEATS,
        },
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
    }
    if sampling.seed is not None:
        said["seed"] = sampling.seed
    if sampling.cache_salt:
        said["cache_salt"] = sampling.cache_salt
    if sampling.stop:
        said["stop"] = list(sampling.stop)
    if sampling.schema:
        # The backend and its whitespace are the server's: `--structured-outputs-config`, see docs/models.md.
        said["structured_outputs"] = {"json": sampling.schema}
    return said
