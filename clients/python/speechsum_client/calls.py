"""One request of the API as data, and what its answer means: shared by the client with asyncio and the one without.

Sends nothing itself.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from speechsum_client.answers import ErrorDetail
from speechsum_client.errors import (
    ConnectionFailed,
    InvalidAnswer,
    NotFound,
    ServiceError,
    SpeechsumError,
    TimedOut,
    service_error,
)
from speechsum_client.recordings import OpenRecording
from speechsum_client.version import __version__

AnswerT = TypeVar("AnswerT", bound=BaseModel)

DEFAULT_URL = "http://127.0.0.1:8000"  # where a service listens by default
# Without a word from the service (`x-should-retry`), these statuses are of a proxy or a service that is busy.
REPEATED_STATUSES = frozenset((429, 502, 503, 504))
EVENT_STREAM = "text/event-stream"
EXCERPT_CHARACTERS = 200


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        form: Names and values of a multipart form; None if the request has none.
        recording: Sent or named in the form.
        json: The body, if it is JSON.
        key: The `Idempotency-Key`, which all tries have in common.
        is_long: Whether the service answers only when it has done the work or fetched a recording.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    form: Sequence[tuple[str, str]] | None = None
    recording: OpenRecording | None = None
    json: bytes | None = None
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_long: bool = False

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of httpx's `build_request` that are the body and its headers."""
        headers = dict(self.headers)
        if self.key is not None:
            headers["idempotency-key"] = self.key
        arguments: dict[str, Any] = {"params": dict(self.params), "headers": headers}
        if self.json is not None:
            headers["content-type"] = "application/json"
            arguments["content"] = self.json
        if self.form is not None:
            parts: list[tuple[str, tuple[str | None, Any]]] = [(name, (None, value)) for name, value in self.form]
            if self.recording is not None and self.recording.kept_id is not None:
                parts.append(("recording_id", (None, self.recording.kept_id)))
            elif self.recording is not None and self.recording.url is not None:
                parts.append(("url", (None, self.recording.url)))
            elif self.recording is not None and self.recording.file is not None:
                self.recording.file.seek(0)
                parts.append(("file", (self.recording.name, self.recording.file)))
            arguments["files"] = parts
        return arguments


@dataclass(frozen=True)
class Target:
    """Where requests go.

    Attributes:
        base_url: Without the `/v1` that OpenAI's clients want.
        timeout: Seconds without a byte while the service works on an answer.
        idle_timeout: Seconds without a byte where the service answers at once or sends signs of life.
    """

    base_url: str
    api_key: str | None
    timeout: float
    idle_timeout: float
    connect_timeout: float

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        key = {} if self.api_key is None else {"authorization": f"Bearer {self.api_key}"}
        return {"user-agent": f"speechsum-client/{__version__}", **key}

    def build(self, http: httpx.Client | httpx.AsyncClient, call: Call) -> httpx.Request:
        """Return one try of the call as httpx sends it."""
        read_s = self.timeout if call.is_long else self.idle_timeout
        limits = httpx.Timeout(self.idle_timeout, read=read_s, connect=self.connect_timeout)
        arguments = call.arguments()
        arguments["headers"] = self.headers | arguments["headers"]
        return http.build_request(call.method, self.base_url + call.path, timeout=limits, **arguments)


def target(base_url: str, api_key: str | None, timeout: float, idle_timeout: float, connect_timeout: float) -> Target:
    """Return the target of a client. Raises ValueError if the address is not one of HTTP."""
    base = base_url.rstrip("/").removesuffix("/v1").rstrip("/")
    if not base.lower().startswith(("http://", "https://")):
        raise ValueError(f"base_url must begin with http:// or https://, not {base_url!r}")
    return Target(base, api_key, timeout, idle_timeout, connect_timeout)


def path_part(text: str) -> str:
    """Return a text as one part of a path. Raises ValueError if it cannot be one."""
    if text in ("", ".", ".."):
        raise ValueError(f"{text!r} is no id")
    return quote(text, safe="@")


@contextmanager
def translate_errors(call: Call, *, is_stream: bool = False) -> Iterator[None]:
    """Raise this package's errors instead of httpx's.

    A time-out of an answer that the service works on is not repeated, because the work would begin again and take as
    long. A stream that is silent has lost its connection.
    """
    try:
        yield
    except httpx.TimeoutException as error:
        waits_for_work = call.is_long and not is_stream and isinstance(error, httpx.ReadTimeout)
        raise TimedOut(_describe(call, error), can_repeat=not waits_for_work) from error
    except httpx.RequestError as error:
        raise ConnectionFailed(_describe(call, error)) from error
    except httpx.InvalidURL as error:
        raise ValueError(f"{call.path}: {error}") from error


def check_status(call: Call, response: httpx.Response, failures: int = 0) -> None:
    """Raise the error of an answer that is one. Its body must have been read. failures: of the tries before this one.

    A job that is no longer there was deleted, if an answer to its deletion may have been lost.
    """
    if response.is_success:
        return
    error = _status_error(response)
    if not (call.method == "DELETE" and failures and isinstance(error, NotFound)):
        raise error


def parse_answer(response: httpx.Response, kind: type[AnswerT]) -> AnswerT:
    """Return the answer in a response. Raises InvalidAnswer if it is something else."""
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        facts = error.errors(include_url=False, include_input=False, include_context=False)
        where = ".".join(str(one) for one in facts[0]["loc"])
        raise InvalidAnswer(
            f"The answer is no {kind.__name__}: {where + ': ' if where else ''}{facts[0]['msg']}; it begins with "
            f"{_excerpt(response)!r}.",
            status=response.status_code,
            request_id=response.headers.get("x-request-id"),
        ) from error


def check_event_stream(response: httpx.Response) -> None:
    """Raise InvalidAnswer if a successful answer is neither a stream of events nor empty (204)."""
    if response.status_code == httpx.codes.NO_CONTENT:
        return
    found = response.headers.get("content-type", "")
    if found.split(";")[0].strip().lower() != EVENT_STREAM:
        raise InvalidAnswer(
            f"The answer is {found or 'of no type'} and not {EVENT_STREAM}.",
            status=response.status_code,
            request_id=response.headers.get("x-request-id"),
        )


def retry_after_seconds(response: httpx.Response) -> float | None:
    """Return the seconds of `Retry-After`, which is a number or a date (RFC 9110, 10.2.3); None if there is none."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        text = response.headers.get(name, "").strip()
        if text.isascii() and text.isdigit():
            return min(int(text[:12]), 10**9) / unit
    moment = email.utils.parsedate_tz(response.headers.get("retry-after", ""))
    return None if moment is None else max(0.0, email.utils.mktime_tz(moment) - time.time())


def _status_error(response: httpx.Response) -> SpeechsumError:
    status, request_id = response.status_code, response.headers.get("x-request-id")
    retry_after_s = retry_after_seconds(response)
    told = response.headers.get("x-should-retry")
    repeats = told == "true" if told in ("true", "false") else status in REPEATED_STATUSES
    try:
        detail = ErrorDetail.model_validate(response.json()["error"])
    except (ValueError, KeyError, TypeError):  # it is no answer of the service, but perhaps of a proxy
        message = f"The answer has the status {status} and begins with {_excerpt(response)!r}."
        if response.is_redirect:
            message = f"{response.url} has moved to {response.headers.get('location')}; set base_url to the new place."
        detail = ErrorDetail(message=message, code=f"status_{status}")
    error: ServiceError = service_error(
        detail, status=status, request_id=request_id, retry_after_s=retry_after_s, can_repeat=repeats
    )
    return error


def _excerpt(response: httpx.Response) -> str:
    return response.content[:EXCERPT_CHARACTERS].decode("utf-8", "replace")


def _describe(call: Call, error: Exception) -> str:
    return f"{call.method} {call.path}: {type(error).__name__}: {str(error) or 'no details'}"
