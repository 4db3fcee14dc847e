"""The two ways to ask for the same summary: vLLM's chat completions, and the service's route. Both stream.

Both are given the same recording as a file, ask for the same number of tokens at temperature 0, and build the same
prompt: this module for vLLM, with the service's own wording, and the service for itself. Knows nothing about load.
"""

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx

from app.core.prompts import Style, audio_messages, instruction
from app.core.vllm_http import NEUTRAL_SAMPLING, insert_audio
from app.engine.chat_request import MAX_PATTERN_TOKENS, MIN_PATTERN_TOKENS, MIN_REPEATS
from benchmarks.load import Answer

SUMMARIES, COMPLETIONS = "/v1/audio/summaries", "/v1/chat/completions"
STYLE = Style()


class Failed(RuntimeError):
    """A request was not answered as it should be, so that there is nothing to compare."""


class VllmTarget:
    """vLLM's `POST /v1/chat/completions`. model: the name that the server gives the model."""

    def __init__(self, client: httpx.AsyncClient, url: str, model: str, max_tokens: int) -> None:
        self._client, self._url = client, url + COMPLETIONS
        fields = {
            "model": model,
            "messages": insert_audio(audio_messages(instruction(STYLE)), "AUDIO"),
            "max_completion_tokens": max_tokens,
            "temperature": 0.0,
            "ignore_eos": True,
            "repetition_detection": {  # the service's own, so that the engine does the same work
                "max_pattern_size": MAX_PATTERN_TOKENS,
                "min_pattern_size": MIN_PATTERN_TOKENS,
                "min_count": MIN_REPEATS,
            },
            "stream": True,
            "stream_options": {"include_usage": True},
            **NEUTRAL_SAMPLING,
        }
        self._before, _, self._after = json.dumps(fields).encode().partition(b"AUDIO")

    async def send(self, recording: bytes) -> Answer:
        """Ask for one summary. Raises Failed if there is none."""
        started_at = time.perf_counter()
        first_token_at = 0.0
        usage: dict[str, Any] = {}
        body = self._before + base64.b64encode(recording) + self._after
        request = self._client.stream("POST", self._url, content=body, headers={"content-type": "application/json"})
        async with request as response:
            async for event in read_events(response):
                if not first_token_at and any(choice["delta"].get("content") for choice in event["choices"]):
                    first_token_at = time.perf_counter()
                usage = event.get("usage") or usage
        return Answer(
            first_token_at - started_at,
            time.perf_counter() - started_at,
            usage["prompt_tokens"],
            usage["completion_tokens"],
        )


class ServiceTarget:
    """The service's `POST /v1/audio/summaries`, by itself or inside vLLM's server."""

    def __init__(self, client: httpx.AsyncClient, url: str, max_tokens: int) -> None:
        self._client, self._url = client, url + SUMMARIES
        self._fields = {"stream": "true", "temperature": "0", "max_tokens": str(max_tokens)}

    async def send(self, recording: bytes) -> Answer:
        """Ask for one summary. Raises Failed if there is none."""
        started_at = time.perf_counter()
        first_token_at = 0.0
        done: dict[str, Any] = {}
        files = {"file": ("recording.wav", recording)}
        async with self._client.stream("POST", self._url, data=self._fields, files=files) as response:
            async for event in read_events(response):
                if not first_token_at and event["object"] == "audio.summary.delta":
                    first_token_at = time.perf_counter()
                done = event
        if done["finish_reason"] not in ("length", "stop"):
            raise Failed(f"{self._url} ended with {done['finish_reason']}: {done['summary']!r}")
        return Answer(
            first_token_at - started_at,
            time.perf_counter() - started_at,
            done["usage"]["prompt_tokens"],
            done["usage"]["completion_tokens"],
            done["timings"],
        )


async def read_events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """Yield the JSON of a response's server-sent events. Raises Failed for another status, and for an error event."""
    if response.status_code != 200:
        raise Failed(f"{response.url} answered with {response.status_code}: {(await response.aread())[:500]!r}")
    async for line in response.aiter_lines():
        if line.startswith("data:") and (data := line[5:].strip()) != "[DONE]":
            event = json.loads(data)
            if event.get("error"):
                raise Failed(f"{response.url} sent an error: {event['error']}")
            yield event
