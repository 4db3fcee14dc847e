"""Reads the answers of a vLLM server: its server-sent events become `StreamChunk`s, its errors `app.core.errors`.

The format is that of vLLM 0.32's `chat_completion_stream_generator`: a chunk with the role once the first token is
there, chunks of text, one with the finish reason, one with the usage, and `[DONE]`. An error in the middle comes as an
event of its own. Knows nothing about which server it is, nor about prompts.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from app.core.errors import ServiceError, TooLarge, Unavailable
from app.core.vllm_http import MAX_ERROR_CHARACTERS, error_message
from app.engine.chat_request import refusal_error
from app.settings import setting_name

DEFAULT_RETRY_AFTER_S = 5.0  # if a server that has no room does not say when to try again


@dataclass(frozen=True)
class StreamChunk:
    """One event of an answer. prompt_tokens, completion_tokens: the usage, if the event has it."""

    text: str = ""
    token_ids: tuple[int, ...] = ()
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


async def read_chunks(response: httpx.Response, context_tokens: int) -> AsyncGenerator[StreamChunk, None]:
    """Yield the events of an answer until `[DONE]`.

    Raises ServiceError for an error event, and "engine_lost" if the stream ends too early. httpx's own errors are not
    caught. context_tokens: the model's context, for the error message.
    """
    async for line in _lines(response):
        if not line.startswith(b"data:"):
            continue  # a comment that keeps the connection alive, or the end of an event
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            return
        yield _parse_event(data, context_tokens)
    raise connection_error()


def _parse_event(data: bytes, context_tokens: int) -> StreamChunk:
    try:
        event = json.loads(data)
        if "error" not in event:
            return _parse_chunk(event)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Unavailable(
            f"The engine's server sent an event that cannot be read: {data[:200]!r}", code="engine_error"
        ) from error
    raise stream_error(event["error"], context_tokens)


def _parse_chunk(event: dict[str, Any]) -> StreamChunk:
    usage = event.get("usage") or {}
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if prompt is None and event.get("prompt_token_ids") is not None:
        prompt = len(event["prompt_token_ids"])
    if not event["choices"]:
        return StreamChunk(prompt_tokens=prompt, completion_tokens=completion)
    choice = event["choices"][0]
    return StreamChunk(
        text=choice["delta"].get("content") or "",
        token_ids=tuple(choice.get("token_ids") or ()),
        finish_reason=choice.get("finish_reason"),
        prompt_tokens=prompt,
        completion_tokens=completion,
    )


async def _lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield lines that end with LF. `aiter_lines` also splits at U+2028 and U+0085, which may be part of a summary."""
    rest = b""
    async for piece in response.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line


def status_error(status: int, body: bytes, retry_after: str | None, context_tokens: int) -> ServiceError:
    """Return the error for a response whose status is not 200. retry_after: the header of that name."""
    reason = error_message(body)
    if status in (400, 422):
        return refusal_error(reason, context_tokens)
    if status == 413:
        return TooLarge(
            f"The engine's server refused the request because this recording makes it too large: {reason}",
            code="engine_refused",
            param="file",
        )
    if status in (429, 503):
        return Unavailable(
            f"The engine's server has no room now: {reason}",
            code="engine_busy",
            retry_after_s=_retry_after_seconds(retry_after),
        )
    if status in (401, 403):
        return Unavailable(
            f"The engine's server does not accept the key in {setting_name('remote', 'api_key')}.",
            code="engine_error",
        )
    return Unavailable(f"The engine's server failed with status {status}: {reason}", code="engine_error")


def stream_error(error: Any, context_tokens: int) -> ServiceError:
    """Return the error for the value of an `error` event. vLLM puts a status into its `code`."""
    if not isinstance(error, dict):
        error = {"message": error}
    reason = str(error.get("message"))[:MAX_ERROR_CHARACTERS]
    if error.get("code") in (400, 422):
        return refusal_error(reason, context_tokens)
    return Unavailable(f"The engine failed in the middle of the answer: {reason}", code="engine_error", retry_after_s=1)


def connection_error(error: Exception | None = None) -> ServiceError:
    """Return the error for a connection that broke, or was silent for too long, after the request was sent."""
    if isinstance(error, httpx.TimeoutException):
        return Unavailable(
            "The engine's server has been silent for too long and was given up. The setting is "
            f"{setting_name('remote', 'idle_seconds')}.",
            code="engine_silent",
        )
    reason = f": {error}" if error is not None and str(error) else ""
    return Unavailable(
        f"The connection to the engine's server broke before the answer was complete{reason}. Try again.",
        code="engine_lost",
        retry_after_s=1,
    )


def _retry_after_seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header or DEFAULT_RETRY_AFTER_S))
    except ValueError:  # a date
        return DEFAULT_RETRY_AFTER_S
