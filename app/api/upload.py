"""Reads a recording off the wire, as a multipart form or as a raw body, and never holds more of it than it may.

The bound is checked on every piece as it arrives, before the form's parser sees it. Knows nothing about audio.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from app.errors import InvalidRequest, TooLarge, UnsupportedAudio
from app.settings import Settings, setting_name

# Room for a form's fields and boundaries beside the recording.
FORM_BYTES = 65_536
FIELD_BYTES = 16_384
MAX_FIELDS = 64


@dataclass(frozen=True)
class Upload:
    """A recording and the form fields that came with it, in order."""

    audio: bytes
    fields: list[tuple[str, str]]


def is_form(request: Request) -> bool:
    """Whether the body is a multipart form. Raises UnsupportedAudio (415) if it is neither that nor a raw recording."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return True
    if kind in ("", "application/octet-stream", "application/ogg") or kind.startswith(("audio/", "video/")):
        return False
    raise UnsupportedAudio(
        f"The content type {kind} is not accepted. Send a multipart form with a `file`, or the recording itself as "
        "audio/*, video/* or application/octet-stream (curl: -H 'Content-Type: application/octet-stream').",
        code="unsupported_content_type",
    )


async def read_upload(request: Request, settings: Settings, hold: Callable[[int], None]) -> Upload:
    """Read the body; `hold` is told the size of each piece and may raise. Raises ServiceError, ClientDisconnect."""
    form = is_form(request)
    most = settings.limits.upload_bytes
    pieces = _bounded(request, settings, most + FORM_BYTES if form else most, hold)
    if not form:
        body = bytearray()
        async for piece in pieces:
            body += piece
        return Upload(bytes(body), [])
    return await _read_form(request, pieces, most)


async def _bounded(
    request: Request, settings: Settings, most: int, hold: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise _too_large(settings.limits.upload_bytes)
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
            raise _too_large(settings.limits.upload_bytes)
        hold(len(piece))
        yield piece


async def _read_form(request: Request, pieces: AsyncGenerator[bytes, None], most: int) -> Upload:
    parser = MultiPartParser(request.headers, pieces, max_files=1, max_fields=MAX_FIELDS, max_part_size=FIELD_BYTES)
    # Bounded as it is, the recording may stay in memory: it goes to a decoder as bytes, and nothing is left on a disk.
    parser.spool_max_size = most + FORM_BYTES
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(f"The form cannot be read: {error.message}", code="invalid_form") from None
    audio: bytes | None = None
    fields: list[tuple[str, str]] = []
    for name, value in form.multi_items():
        if isinstance(value, str):
            fields.append((name, value))
        elif name == "file":
            audio = await value.read()
            await value.close()
        else:
            raise InvalidRequest(
                f"The recording belongs in the field `file`, not {name!r}.", code="unknown_field", param=name
            )
    if audio is None:
        hint = " as a file with a file name, not as text" if any(name == "file" for name, _ in fields) else ""
        raise InvalidRequest(
            f"The form needs the recording in a field `file`{hint}.", code="missing_file", param="file"
        )
    if len(audio) > most:
        raise _too_large(most)
    return Upload(audio, fields)


def _too_large(most: int) -> TooLarge:
    return TooLarge(
        f"The recording has more than {most} bytes, the most that is accepted. The setting is "
        f"{setting_name('limits', 'upload_bytes')}.",
        code="upload_too_large",
        param="file",
    )
