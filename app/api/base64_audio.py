"""Recordings in base64 as clients write them: plain or as a `data:` URL, with or without line breaks and padding, in
either alphabet of RFC 4648. Everything else is refused.

A recording is decoded a block at a time, from one file into another. Knows nothing about audio.
"""

import binascii
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO

from app.api.json_body import LongString
from app.core.audio.samples import create_unnamed_file
from app.core.errors import InvalidRequest, quote

WHITESPACE = b" \t\r\n"
PRINTABLE = bytes(range(0x20, 0x100))
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
URL_SAFE_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
MAX_DATA_URL_HEAD_BYTES = 1024  # of a `data:` URL, up to its comma
_PERCENT_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
# A JSON escape or a percent escape that may continue in the next block. The longest has six characters.
_CUT_ESCAPE = re.compile(rb"(?:\\u?[0-9A-Fa-f]{0,3}|%[0-9A-Fa-f]?)\Z")


def decode_audio(encoded: str | LongString) -> BinaryIO:
    """Return the recording, in a file without a name. Raises InvalidRequest (400) if it is not base64, and OSError if
    the file cannot be written.
    """
    chunks = (encoded.encode("utf-8", "replace"),) if isinstance(encoded, str) else _unescape(encoded.chunks())
    file = create_unnamed_file()
    try:
        for block in _decode_blocks(_strip_data_url_head(chunks)):
            file.write(block)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _unescape(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks of a JSON string with JSON's escapes resolved: PHP writes `\\/`, .NET `\\u002B`."""
    rest = b""
    for chunk in chunks:
        chunk = rest + chunk
        rest = b""
        if chunk.translate(None, PRINTABLE):
            raise _base64_error("a string in JSON cannot contain control characters; write a line break as \\n")
        if b"\\" in chunk:
            if cut := _CUT_ESCAPE.search(chunk[-6:]):
                rest = cut[0]
                chunk = chunk[: -len(rest)]
            try:
                chunk = json.loads(b'"' + chunk + b'"').encode("utf-8", "replace")
            except ValueError:
                raise _base64_error("it contains an escape that JSON does not have") from None
        yield chunk
    if rest:
        raise _base64_error("it contains an escape that JSON does not have")


def _strip_data_url_head(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks without the head of a `data:` URL (RFC 2397), and with its percent escapes resolved."""
    chunks = iter(chunks)
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) > MAX_DATA_URL_HEAD_BYTES:
            break
    first = first.lstrip(WHITESPACE)
    if first[:5].lower() != b"data:":
        yield first
        yield from chunks
        return
    head, comma, first = first.partition(b",")
    if not comma or len(head) > MAX_DATA_URL_HEAD_BYTES or not head.lower().replace(b" ", b"").endswith(b";base64"):
        raise _base64_error("the data: URL does not have ;base64 before its comma")
    rest = b""
    for chunk in chain((first,), chunks):
        chunk = rest + chunk
        rest = b""
        if b"%" in chunk:
            if cut := _CUT_ESCAPE.search(chunk[-2:]):
                rest = cut[0]
                chunk = chunk[: -len(rest)]
            chunk = _PERCENT_ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), chunk)
        yield chunk
    yield rest


def _decode_blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest, padding, position = b"", 0, 0
    special: set[int] = set()  # those of the four characters in which the alphabets differ that have occurred
    for chunk in chunks:
        chunk = chunk.translate(None, WHITESPACE)
        if not chunk:
            continue
        letters = chunk.rstrip(b"=")
        if padding and letters:
            raise _base64_error(f"text follows after the padding, at character {position}")
        foreign = letters.translate(None, ALPHABET)
        if foreign:
            if invalid := foreign.translate(None, b"+/-_"):
                index = position + letters.index(invalid[:1])
                raise _base64_error(f"character {index} is {quote(chr(invalid[0]))}")
            special |= set(foreign)
            if special & set(b"+/") and special & set(b"-_"):
                raise _base64_error("it mixes the standard and the URL-safe alphabet")
        padding += len(chunk) - len(letters)
        position += len(chunk)
        whole = rest + letters.translate(URL_SAFE_TO_STANDARD)
        rest = whole[len(whole) - len(whole) % 4 :]
        yield binascii.a2b_base64(whole[: len(whole) - len(rest)])
    if padding and (padding != -len(rest) % 4 or len(rest) == 1):
        raise _base64_error(f"it ends with {padding} padding characters instead of {-len(rest) % 4}")
    if len(rest) == 1:
        raise _base64_error("it has one character too many, or its end is missing")
    if rest:
        yield binascii.a2b_base64(rest + b"=" * (4 - len(rest)))


def _base64_error(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The recording is not in base64: {reason}.", code="invalid_field", param="messages")
