"""Reads a recording off the wire, as a multipart form or as a raw body, into a file without a name, and never takes
more of it than it may, nor waits for it longer.

The bound is checked on every piece as it arrives, before the form's parser sees it. Knows nothing about audio.
"""

from collections.abc import AsyncGenerator
from typing import BinaryIO, Literal

from starlette.requests import Request

from app.admission.uploads import Upload
from app.api.multipart import MAX_FORM_OVERHEAD_BYTES, ReceivedUpload, read_form
from app.core.audio.samples import translate_disk_full, write_unnamed_file
from app.core.errors import InvalidRequest, TooLarge, UnsupportedAudio
from app.settings import Settings, setting_name

LimitName = Literal["upload_bytes", "json_bytes", "json_text_bytes"]  # of `LimitSettings`


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


async def read_upload(request: Request, settings: Settings, upload: Upload) -> ReceivedUpload:
    """Read the body; `upload` counts each piece. Raises ServiceError, ClientDisconnect."""
    if not is_form(request):
        with translate_disk_full():
            return ReceivedUpload(
                await write_unnamed_file(_bounded_chunks(request, settings, "upload_bytes", upload)), []
            )
    pieces = _bounded_chunks(request, settings, "upload_bytes", upload, MAX_FORM_OVERHEAD_BYTES)
    with translate_disk_full():
        received = await read_form(request.headers, pieces)
    by_url = _has_url([*request.query_params.multi_items(), *received.fields])
    size = 0
    if received.audio is not None:
        size = received.audio.seek(0, 2)
        received.audio.seek(0)
        if by_url and not size:  # a browser sends the empty file of a form that was filled in with a URL
            received.audio.close()
            return ReceivedUpload(None, received.fields)
    fault: Exception | None = None
    if received.audio is None and not by_url:
        fault = InvalidRequest(
            "The form needs the recording in a field `file`, or its `url`.", code="missing_file", param="file"
        )
    elif received.audio is not None and by_url:
        fault = _two_recordings_error()
    elif size > settings.limits.upload_bytes:
        fault = _too_large_error(settings, "upload_bytes")
    if fault:
        if received.audio is not None:
            received.audio.close()
        raise fault
    return received


async def require_empty_body(request: Request, settings: Settings, upload: Upload) -> None:
    """A body that has to be empty. Raises InvalidRequest (400) at its first piece."""
    async for piece in _bounded_chunks(request, settings, "upload_bytes", upload):
        if piece:
            raise _two_recordings_error()


async def read_json(request: Request, settings: Settings, upload: Upload, limit: LimitName = "json_bytes") -> BinaryIO:
    """A body of JSON, in a file without a name. Raises as `read_upload`."""
    with translate_disk_full():
        return await write_unnamed_file(_bounded_chunks(request, settings, limit, upload))


async def _bounded_chunks(
    request: Request, settings: Settings, limit: LimitName, upload: Upload, extra_bytes: int = 0
) -> AsyncGenerator[bytes, None]:
    """The body's pieces, of at most as many bytes as the limit says and `beside`, at a rate that is accepted."""
    most = getattr(settings.limits, limit) + extra_bytes
    announced = request.headers.get("content-length", "").lstrip("0")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > most):  # Python converts 4300 digits at most
        raise _too_large_error(settings, limit)
    stream = request.stream()
    received = 0
    while True:
        async with upload.chunk_timeout():
            piece = await anext(stream, None)
        if piece is None:
            return
        received += len(piece)
        if received > most:
            raise _too_large_error(settings, limit)
        upload.add_bytes(len(piece))
        yield piece


def _has_url(pairs: list[tuple[str, str]]) -> bool:
    return any(name == "url" and value.strip() for name, value in pairs)


def _two_recordings_error() -> InvalidRequest:
    return InvalidRequest(
        "The recording is sent, and there is a `url` to fetch it from. Give one of them.",
        code="recording_given_twice",
        param="url",
    )


def _too_large_error(settings: Settings, limit: LimitName) -> TooLarge:
    return TooLarge(
        f"The request has more than {getattr(settings.limits, limit)} bytes, the most that is accepted. The setting is "
        f"{setting_name('limits', limit)}.",
        code="upload_too_large",
        param="file" if limit == "upload_bytes" else None,
    )
