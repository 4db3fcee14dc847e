"""The body of `POST /v1/chat/completions` for one answer of a vLLM server.

All sampling fields are stated, so that a server answers as the engine in this process would, whatever its defaults and
the checkpoint's `generation_config.json` are. The names are those of vLLM 0.32's `ChatCompletionRequest`. A recording
is sent as a 32-bit float WAV file in base64, which keeps the samples exactly and needs a third more bytes than they
have. No priority is sent: a server refuses it unless it was started with `--scheduling-policy priority`, and the
service orders its requests before it sends them (`app.summarize.priority_limiter`). Knows nothing about connections.
"""

import base64
import json
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from app.core.audio.wav import encode_wav
from app.core.vllm_http import NEUTRAL_SAMPLING, insert_audio
from app.engine.chat_request import MAX_PATTERN_TOKENS, MIN_PATTERN_TOKENS, MIN_REPEATS, Messages, SamplingOptions


class CompletionRequest:
    """One request, for any server. `adapter` is the name of its adapter, or None.

    Encoding a long recording takes a tenth of a second, so that it should be created in a thread.
    """

    def __init__(
        self,
        messages: Messages,
        sampling: SamplingOptions,
        request_id: str,
        context_tokens: int,
        audio: NDArray[np.float32] | None = None,
    ) -> None:
        """Encode the request.

        Args:
            messages: The chat messages, without control tokens in their texts.
            sampling: How the answer is sampled.
            request_id: The id that the server logs.
            context_tokens: The model's context.
            audio: Mono samples at 16 kHz, shape (n,), for the messages' placeholder.
        """
        self.adapter = sampling.adapter.name if sampling.adapter else None
        # The recording replaces a marker in the JSON text, because the JSON encoder would hold the interpreter's lock
        # while it encodes 25 MB of base64, and all other requests would wait.
        marker = uuid4().hex
        fields = {
            "messages": insert_audio(messages, marker),
            "request_id": request_id,
            **_sampling_fields(sampling, context_tokens),
        }
        self._before, _, self._after = json.dumps(fields)[1:].encode().partition(marker.encode())
        self._audio = b"" if audio is None else base64.b64encode(encode_wav(audio))

    def body(self, model: str) -> list[bytes]:
        """Return the JSON in parts. model: the name that the model, or the adapter, has at the server."""
        return [b'{"model": ' + json.dumps(model).encode() + b", ", self._before, self._audio, self._after]


def _sampling_fields(sampling: SamplingOptions, context_tokens: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        **NEUTRAL_SAMPLING,
        # A server refuses a request for more tokens than the whole context. Below that, it generates what fits.
        "max_completion_tokens": min(sampling.max_tokens, context_tokens),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
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
        fields["seed"] = sampling.seed
    if sampling.cache_salt:
        fields["cache_salt"] = sampling.cache_salt
    if sampling.stop:
        fields["stop"] = list(sampling.stop)
    if sampling.schema:
        # The backend and its whitespace are options of the server: `--structured-outputs-config`, see docs/models.md.
        fields["structured_outputs"] = {"json": sampling.schema}
    return fields
