"""Reads a recording off the wire, as a multipart form or as a raw body, into a file without a name, and never takes
more of it than it may, nor waits for it longer.

The bound is checked on every piece as it arrives, before the form's parser sees it. Knows nothing about audio.
"""

from collections.abc import AsyncGenerator
from typing import BinaryIO, Literal

from starlette.requests import Request

from app.admission.uploads import Upload
from app.api.multipart import FORM_BYTES, Received, read_form
from app.core.audio.samples import spooled, told_if_full
from app.core.errors import InvalidRequest, TooLarge, UnsupportedAudio
from app.settings import Settings, setting_name

Limit = Literal["upload_bytes", "json_bytes", "json_text_bytes"]  # of `LimitSettings`


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


async def read_upload(request: Request, settings: Settings, upload: Upload) -> Received:
    """Read the body; `upload` counts each piece. Raises ServiceError, ClientDisconnect."""
    if not is_form(request):
        with told_if_full():
            return Received(await spooled(_bounded(request, settings, "upload_bytes", upload)), [])
    pieces = _bounded(request, settings, "upload_bytes", upload, FORM_BYTES)
    with told_if_full():
        received = await read_form(request.headers, pieces)
    by_url = _names_url([*request.query_params.multi_items(), *received.fields])
    size = 0
    if received.audio is not None:
        size = received.audio.seek(0, 2)
        received.audio.seek(0)
        if by_url and not size:  # a browser sends the empty file of a form that was filled in with a URL
            received.audio.close()
            return Received(None, received.fields)
    fault: Exception | None = None
    if received.audio is None and not by_url:
        fault = InvalidRequest(
            "The form needs the recording in a field `file`, or its `url`.", code="missing_file", param="file"
        )
    elif received.audio is not None and by_url:
        fault = _given_twice()
    elif size > settings.limits.upload_bytes:
        fault = _too_large(settings, "upload_bytes")
    if fault:
        if received.audio is not None:
            received.audio.close()
        raise fault
    return received


async def read_nothing(request: Request, settings: Settings, upload: Upload) -> None:
    """A body that has to be empty. Raises InvalidRequest (400) at its first piece."""
    async for piece in _bounded(request, settings, "upload_bytes", upload):
        if piece:
            raise _given_twice()


async def read_json(request: Request, settings: Settings, upload: Upload, limit: Limit = "json_bytes") -> BinaryIO:
    """A body of JSON, in a file without a name. Raises as `read_upload`."""
    with told_if_full():
        return await spooled(_bounded(request, settings, limit, upload))


async def _bounded(
    request: Request, settings: Settings, limit: Limit, upload: Upload, beside: int = 0
) -> AsyncGenerator[bytes, None]:
    """The body's pieces, of at most as many bytes as the limit says and `beside`, at a rate that is accepted."""
    most = getattr(settings.limits, limit) + beside
    announced = request.headers.get("content-length", "").lstrip("0")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > most):  # Python converts 4300 digits at most
        raise _too_large(settings, limit)
    stream = request.stream()
    received = 0
    while True:
        async with upload.next_piece():
            piece = await anext(stream, None)
        if piece is None:
            return
        received += len(piece)
        if received > most:
            raise _too_large(settings, limit)
        upload.hold(len(piece))
        yield piece


def _names_url(pairs: list[tuple[str, str]]) -> bool:
    return any(name == "url" and value.strip() for name, value in pairs)


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
