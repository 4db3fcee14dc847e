"""Reads a recording off the wire, as a multipart form or as a raw body, into a file without a name, and never takes
more of it than it may.

The bound is checked on every piece as it arrives, before the form's parser sees it. Knows nothing about audio.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from app.audio.samples import BLOCK_BYTES, spooled, told_if_full
from app.errors import InvalidRequest, TooLarge, UnsupportedAudio
from app.settings import Settings, setting_name

# Room for a form's fields and boundaries beside the recording.
FORM_BYTES = 65_536
FIELD_BYTES = 16_384
MAX_FIELDS = 64
Limit = Literal["upload_bytes", "json_bytes"]  # of `LimitSettings`


@dataclass(frozen=True)
class Upload:
    """A recording and the form fields that came with it, in order. audio: None where a `url` came instead."""

    audio: BinaryIO | None
    fields: list[tuple[str, str]]


def is_form(request: Request) -> bool:
    """Whether the body is a multipart form. Raises UnsupportedAudio (415) if it is neither that nor a raw recording."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return True
    if kind in ("", "application/octet-stream", "application/ogg") or kind.startswith(("audio/", "video/")):
        return False
    raise UnsupportedAudio(
        f"The content type {kind} is not accepted. Send a multipart form with a `file` or a `url`, or the recording "
        "itself as audio/*, video/* or application/octet-stream (curl: -H 'Content-Type: application/octet-stream').",
        code="unsupported_content_type",
    )


async def read_upload(request: Request, settings: Settings, hold: Callable[[int], None]) -> Upload:
    """Read the body; `hold` is told the size of each piece and may raise. Raises ServiceError, ClientDisconnect."""
    form = is_form(request)
    pieces = _bounded(request, settings, "upload_bytes", hold, FORM_BYTES if form else 0)
    with told_if_full():
        return await _read_form(request, settings, pieces) if form else Upload(await spooled(pieces), [])


async def read_nothing(request: Request, settings: Settings) -> None:
    """A body that has to be empty. Raises InvalidRequest (400) at its first piece."""
    async for piece in _bounded(request, settings, "upload_bytes", lambda _: None):
        if piece:
            raise _given_twice()


async def read_json(request: Request, settings: Settings, hold: Callable[[int], None]) -> bytes:
    """A body of JSON, in memory. Raises as `read_upload`."""
    body = bytearray()
    async for piece in _bounded(request, settings, "json_bytes", hold):
        body += piece
    return bytes(body)


async def _bounded(
    request: Request, settings: Settings, limit: Limit, hold: Callable[[int], None], beside: int = 0
) -> AsyncGenerator[bytes, None]:
    """The body's pieces, of at most as many bytes as the limit says and `beside`."""
    most = getattr(settings.limits, limit) + beside
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise _too_large(settings, limit)
    stream = request.stream()
    received = 0
    longest = time.perf_counter() + settings.timeouts.request_seconds
    while True:
        try:
            async with asyncio.timeout(min(settings.timeouts.upload_idle_seconds, longest - time.perf_counter())):
                piece = await anext(stream, None)
        except TimeoutError:
            raise InvalidRequest(
                f"The upload paused for {settings.timeouts.upload_idle_seconds:g} seconds, or took longer than "
                f"{settings.timeouts.request_seconds:g} in all. The settings are "
                f"{setting_name('timeouts', 'upload_idle_seconds')} and {setting_name('timeouts', 'request_seconds')}.",
                code="upload_timeout",
            ) from None
        if piece is None:
            return
        received += len(piece)
        if received > most:
            raise _too_large(settings, limit)
        hold(len(piece))
        yield piece


async def _read_form(request: Request, settings: Settings, pieces: AsyncGenerator[bytes, None]) -> Upload:
    parser = MultiPartParser(request.headers, pieces, max_files=1, max_fields=MAX_FIELDS, max_part_size=FIELD_BYTES)
    parser.spool_max_size = BLOCK_BYTES  # the rest goes to a file without a name
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(f"The form cannot be read: {error.message}", code="invalid_form") from None
    audio: BinaryIO | None = None
    size = 0
    fields: list[tuple[str, str]] = []
    for name, value in form.multi_items():
        if isinstance(value, str):
            fields.append((name, value))
        elif name == "file":
            audio, size = value.file, value.size or 0
            audio.fileno()  # however small: a decoder is told which file
            audio.flush()
        else:
            raise InvalidRequest(
                f"The recording belongs in the field `file`, not {name!r}.", code="unknown_field", param=name
            )
    by_url = any(name == "url" and value.strip() for name, value in [*request.query_params.multi_items(), *fields])
    if audio is not None and by_url:
        raise _given_twice()
    if audio is None and not by_url:
        hint = " as a file with a file name, not as text" if any(name == "file" for name, _ in fields) else ""
        raise InvalidRequest(
            f"The form needs the recording in a field `file`{hint}, or its `url`.", code="missing_file", param="file"
        )
    if size > settings.limits.upload_bytes:
        raise _too_large(settings, "upload_bytes")
    return Upload(audio, fields)


def _given_twice() -> InvalidRequest:
    return InvalidRequest(
        "The recording is sent, and there is a `url` to fetch it from. Give one of them.",
        code="recording_given_twice",
        param="url",
    )


def _too_large(settings: Settings, limit: Limit) -> TooLarge:
    return TooLarge(
        f"The request has more than {getattr(settings.limits, limit)} bytes, the most that is accepted. The setting is "
        f"{setting_name('limits', limit)}.",
        code="upload_too_large",
        param="file" if limit == "upload_bytes" else None,
    )
