"""What a vLLM server says: its stream of server-sent events → text, tokens and the end; its errors → `app.core.errors`.

The dialect is that of vLLM 0.32's `chat_completion_stream_generator`: a chunk with the role when the first token is
there, chunks of text, one with the reason of the end, one with the usage, `[DONE]`; an error in the middle comes as an
event of its own. Knows nothing about which server it is, nor about prompts.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from app.core.errors import ServiceError, TooLarge, Unavailable
from app.engine.chat_request import refusal_error
from app.settings import setting_name

DEFAULT_RETRY_AFTER_S = 5.0  # where a server that has no room does not say when to come back
MAX_REASON_CHARACTERS = 2000  # characters of a server's error that are passed on


@dataclass(frozen=True)
class StreamChunk:
    """One event. prompt_tokens, completion_tokens: the usage, where the event brings it."""

    text: str = ""
    token_ids: tuple[int, ...] = ()
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


async def read_chunks(response: httpx.Response, context: int) -> AsyncGenerator[StreamChunk, None]:
    """The events of an answer, until it is done. Raises ServiceError for an error among them, and "engine_lost" if the
    stream ends before it is done; httpx's own errors pass.
    """
    async for line in _lines(response):
        if not line.startswith(b"data:"):
            continue  # a comment that keeps the connection alive, or the end of an event
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            return
        yield _parse_event(data, context)
    raise connection_error()


def _parse_event(data: bytes, context: int) -> StreamChunk:
    try:
        said = json.loads(data)
        if "error" not in said:
            return _parse_chunk(said)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Unavailable(
            f"The engine's server said what it should not: {data[:200]!r}", code="engine_error"
        ) from error
    raise stream_error(said["error"], context)


def _parse_chunk(said: dict[str, Any]) -> StreamChunk:
    usage = said.get("usage") or {}
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if prompt is None and said.get("prompt_token_ids") is not None:
        prompt = len(said["prompt_token_ids"])
    if not said["choices"]:
        return StreamChunk(prompt_tokens=prompt, completion_tokens=completion)
    choice = said["choices"][0]
    return StreamChunk(
        text=choice["delta"].get("content") or "",
        token_ids=tuple(choice.get("token_ids") or ()),
        finish_reason=choice.get("finish_reason"),
        prompt_tokens=prompt,
        completion_tokens=completion,
    )


async def _lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """Lines ended by LF. Not `aiter_lines`, which also ends one at U+2028 or U+0085: both may stand in a summary."""
    rest = b""
    async for piece in response.aiter_bytes():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line


def status_error(status: int, body: bytes, retry_after: str | None, context: int) -> ServiceError:
    """The error for an answer that is none. retry_after: that header."""
    reason = _error_message(body)
    if status in (400, 422):
        return refusal_error(reason, context)
    if status == 413:
        return TooLarge(
            f"The engine's server takes no request as large as this recording makes it: {reason}",
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
            f"The engine's server does not take the key in {setting_name('remote', 'api_key')}.",
            code="engine_error",
        )
    return Unavailable(f"The engine's server failed with status {status}: {reason}", code="engine_error")


def stream_error(error: Any, context: int) -> ServiceError:
    """The error for an `error` event. vLLM puts a status into its `code`."""
    if not isinstance(error, dict):
        error = {"message": error}
    reason = str(error.get("message"))[:MAX_REASON_CHARACTERS]
    if error.get("code") in (400, 422):
        return refusal_error(reason, context)
    return Unavailable(f"The engine failed in the middle of the answer: {reason}", code="engine_error", retry_after_s=1)


def connection_error(error: Exception | None = None) -> ServiceError:
    """The error for a connection that broke, or was silent for too long, after the request had begun."""
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


def _error_message(body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["error"]["message"])
    return text[:MAX_REASON_CHARACTERS] or "it does not say why"


def _retry_after_seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header or DEFAULT_RETRY_AFTER_S))
    except ValueError:  # a date
        return DEFAULT_RETRY_AFTER_S
