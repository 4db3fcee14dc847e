"""Multipart forms (RFC 7578): the recording is written to a file without a name, and the fields are text.

The part named `file` is the recording, with or without a file name: some clients send none, or only `filename*`. Knows
nothing about what the fields mean.
"""

import codecs
import re
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import BinaryIO

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app.core.audio.samples import BLOCK_BYTES
from app.core.errors import InvalidRequest, quote

# The most bytes of a form's fields and boundaries, beside the recording.
MAX_FORM_OVERHEAD_BYTES = 65_536
MAX_FIELD_BYTES = 16_384
MAX_FIELDS = 64
# Encodings in which a browser or a library sends a form. Python also lists codecs as charsets that are none.
_CHARSETS = re.compile(r"(utf|iso8859|cp\d|koi8|mac|big5|gb|euc|shift|hz|ascii|iso2022|johab|latin|tis)[-_a-z0-9]*")


@dataclass(frozen=True)
class ReceivedUpload:
    """A recording and the form's fields, in order. audio: a file, which the holder closes; None if there is no
    recording.
    """

    audio: BinaryIO | None
    fields: list[tuple[str, str]]


class _RecordingFormParser(MultiPartParser):
    """Starlette's parser, but the part `file` is always a file."""

    spool_max_size = BLOCK_BYTES  # a larger recording is written to a file without a name

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._current_part.content_disposition)
        if options.get(b"name") != b"file" or options.get(b"filename"):
            super().on_headers_finished()
            return
        self._current_files += 1
        if self._current_files > self.max_files:
            raise MultiPartException(f"Too many files. Maximum number of files is {self.max_files}.")
        file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(self.spool_max_size)  # noqa: SIM115
        self._files_to_close_on_error.append(file)
        self._current_part.field_name = "file"
        self._current_part.file = UploadFile(file=file, size=0)  # type: ignore[arg-type]


async def read_form(headers: Headers, chunks: AsyncGenerator[bytes, None]) -> ReceivedUpload:
    """Return the form in a body. headers: of the request. chunks: the body.

    Raises: InvalidRequest (400) if it is not a valid form, or if the recording is in another field than `file`; and
        whatever `chunks` raises.
    """
    _check_charset(headers)
    parser = _RecordingFormParser(headers, chunks, max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
    try:
        form = await parser.parse()
    except BaseException as error:
        # Starlette closes the files itself only at a MultiPartException.
        for file in parser._files_to_close_on_error:
            with suppress(OSError):  # of a full disk
                file.close()
        if isinstance(error, MultiPartException):
            raise InvalidRequest(f"The form cannot be read: {error.message}", code="invalid_form") from None
        raise
    audio: BinaryIO | None = None
    fields: list[tuple[str, str]] = []
    for name, value in form.multi_items():
        if isinstance(value, str):
            fields.append((name, value))
        elif name == "file":
            audio = value.file
            try:
                audio.fileno()  # writes even a small recording to a real file, which is passed to a decoder
                audio.flush()
            except BaseException:  # such as a full disk
                audio.close()
                raise
        else:
            value.file.close()
            raise InvalidRequest(
                f"The recording belongs in the field `file`, not {quote(name)}.", code="unknown_field", param=name
            )
    return ReceivedUpload(audio, fields)


def _check_charset(headers: Headers) -> None:
    """Raise InvalidRequest (400) if the form names a charset that is not supported.

    Python knows codecs that are not charsets, such as `punycode`. They raise other errors than charsets do.
    """
    _, options = parse_options_header(headers.get("content-type", ""))
    name = options.get(b"charset", b"utf-8").decode("latin-1")
    try:
        known = _CHARSETS.fullmatch(codecs.lookup(name).name.lower())
    except (LookupError, ValueError):  # ValueError: a name with a null byte
        known = None
    if known is None:
        raise InvalidRequest(
            f"The charset {quote(name)} of the form is not supported. Send the form in UTF-8.", code="invalid_form"
        )
