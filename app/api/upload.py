"""Request bodies: a recording, as a multipart form or raw, or JSON, received into a file without a name.

The limits on size, rate and time are checked at every chunk as it arrives, before a form's parser sees it. Knows
nothing about audio.
"""

from collections.abc import AsyncGenerator
from typing import BinaryIO, Literal

from starlette.requests import Request

from app.admission.uploads import Upload
from app.api.multipart import MAX_FORM_OVERHEAD_BYTES, ReceivedUpload, read_form
from app.core.audio.samples import translate_disk_full, write_unnamed_file
from app.core.errors import InvalidRequest, TooLarge, UnsupportedAudio
from app.settings import Settings, setting_name

RECORDING_FIELDS = ("url", "recording_id")  # these name a recording, instead of one that is sent

LimitName = Literal["upload_bytes", "json_bytes", "json_text_bytes"]  # of `LimitSettings`


def is_form(request: Request) -> bool:
    """Return whether the body is a multipart form, and not a raw recording. Raises UnsupportedAudio (415) if it is
    neither.
    """
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


async def read_raw_upload(request: Request, settings: Settings, upload: Upload) -> BinaryIO:
    """Return a body that is a recording, in a file without a name; `upload` counts what arrives.

    Raises: ServiceError if the upload is too large, too slow or has no room, ClientDisconnect if the client leaves.
    """
    with translate_disk_full():
        return await write_unnamed_file(_bounded_chunks(request, settings, "upload_bytes", upload))


async def read_form_upload(request: Request, settings: Settings, upload: Upload) -> ReceivedUpload:
    """Return the recording and the fields of a multipart form; `upload` counts what arrives.

    Raises: InvalidRequest (400) unless there is either a recording, or a `url` or `recording_id` of one, in the form or
        in the query; otherwise as `read_raw_upload`.
    """
    chunks = _bounded_chunks(request, settings, "upload_bytes", upload, MAX_FORM_OVERHEAD_BYTES)
    with translate_disk_full():
        received = await read_form(request.headers, chunks)
    named_by = _name_of_recording([*request.query_params.multi_items(), *received.fields])
    audio = received.audio
    if audio is None:
        if named_by is None:
            raise InvalidRequest(
                "The form needs the recording in a field `file`, or its `url` or `recording_id`.",
                code="missing_file",
                param="file",
            )
        return received
    size = audio.seek(0, 2)
    audio.seek(0)
    if named_by is not None and not size:  # a browser sends the empty file of a form that was filled in with a URL
        audio.close()
        return ReceivedUpload(None, received.fields)
    if named_by is not None or size > settings.limits.upload_bytes:
        audio.close()
        raise two_recordings_error(named_by) if named_by is not None else _too_large_error(settings, "upload_bytes")
    return received


async def require_empty_body(request: Request, settings: Settings, upload: Upload, named_by: str) -> None:
    """Read a body that must be empty, because a field names the recording. named_by: the field.

    Raises: InvalidRequest (400) at the first byte; otherwise as `read_raw_upload`.
    """
    async for chunk in _bounded_chunks(request, settings, "upload_bytes", upload):
        if chunk:
            raise two_recordings_error(named_by)


async def read_json(request: Request, settings: Settings, upload: Upload, limit: LimitName = "json_bytes") -> BinaryIO:
    """Return a body of JSON, in a file without a name. Raises what `read_raw_upload` raises.

    limit: the setting that bounds its bytes.
    """
    with translate_disk_full():
        return await write_unnamed_file(_bounded_chunks(request, settings, limit, upload))


async def _bounded_chunks(
    request: Request, settings: Settings, limit: LimitName, upload: Upload, extra_bytes: int = 0
) -> AsyncGenerator[bytes, None]:
    """Yield the body's chunks. Raises TooLarge (413) beyond the limit and `extra_bytes`, RequestTimeout (408) if the
    upload is too slow.
    """
    max_bytes = getattr(settings.limits, limit) + extra_bytes
    announced = request.headers.get("content-length", "").lstrip("0")
    # Python refuses to convert more than 4300 digits.
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > max_bytes):
        raise _too_large_error(settings, limit)
    stream = request.stream()
    received_bytes = 0
    while True:
        async with upload.chunk_timeout():
            chunk = await anext(stream, None)
        if chunk is None:
            return
        received_bytes += len(chunk)
        if received_bytes > max_bytes:
            raise _too_large_error(settings, limit)
        upload.add_bytes(len(chunk))
        yield chunk


def two_recordings_error(named_by: str, other: str = "a recording") -> InvalidRequest:
    """Return the error for a request with two recordings. named_by: the field that names one. other: the other one."""
    return InvalidRequest(
        f"The request has both {other} and a `{named_by}` of one. Send only one of them.",
        code="recording_given_twice",
        param=named_by,
    )


def _name_of_recording(pairs: list[tuple[str, str]]) -> str | None:
    """Return the field that names a recording, or None if there is none."""
    return next((name for name, value in pairs if name in RECORDING_FIELDS and value.strip()), None)


def _too_large_error(settings: Settings, limit: LimitName) -> TooLarge:
    return TooLarge(
        f"The request has more than {getattr(settings.limits, limit)} bytes, which is the most that is accepted. The "
        f"setting is {setting_name('limits', limit)}.",
        code="upload_too_large",
        param="file" if limit == "upload_bytes" else None,
    )
