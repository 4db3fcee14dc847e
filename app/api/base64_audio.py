"""Recordings in base64 as clients write them: bare or as a `data:` URL, in lines, in either alphabet of RFC 4648, with
padding or without it. Whatever else is not base64 is refused.

A recording is decoded a block at a time, from one file into another one. Knows nothing about audio.
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
MAX_DATA_URL_HEAD_BYTES = 1024  # a data: URL's, up to its comma
_PERCENT_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
# A JSON escape or a percent escape that a block's end may have cut: the longest has six characters.
_CUT_ESCAPE = re.compile(rb"(?:\\u?[0-9A-Fa-f]{0,3}|%[0-9A-Fa-f]?)\Z")


def decode_audio(encoded: str | LongString) -> BinaryIO:
    """The recording, in a file without a name. Raises InvalidRequest (400) if it is not base64, OSError."""
    pieces = (encoded.encode("utf-8", "replace"),) if isinstance(encoded, str) else _unescape(encoded.chunks())
    file = create_unnamed_file()
    try:
        for block in _decode_blocks(_strip_data_url_head(pieces)):
            file.write(block)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _unescape(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of a JSON string without JSON's escapes: PHP writes `\\/`, .NET `\\u002B`."""
    rest = b""
    for piece in chunks:
        piece = rest + piece
        rest = b""
        if piece.translate(None, PRINTABLE):
            raise _base64_error("a string in JSON holds no control characters; write a line break as \\n")
        if b"\\" in piece:
            if cut := _CUT_ESCAPE.search(piece[-6:]):
                rest = cut[0]
                piece = piece[: -len(rest)]
            try:
                piece = json.loads(b'"' + piece + b'"').encode("utf-8", "replace")
            except ValueError:
                raise _base64_error("it holds an escape that is not JSON's") from None
        yield piece
    if rest:
        raise _base64_error("it holds an escape that is not JSON's")


def _strip_data_url_head(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Without the head of a `data:` URL (RFC 2397), and its percent escapes."""
    chunks = iter(chunks)
    first = b""
    for piece in chunks:
        first += piece
        if len(first) > MAX_DATA_URL_HEAD_BYTES:
            break
    first = first.lstrip(WHITESPACE)
    if first[:5].lower() != b"data:":
        yield first
        yield from chunks
        return
    head, comma, first = first.partition(b",")
    if not comma or len(head) > MAX_DATA_URL_HEAD_BYTES or not head.lower().replace(b" ", b"").endswith(b";base64"):
        raise _base64_error("the data: URL does not say ;base64 before its comma")
    rest = b""
    for piece in chain((first,), chunks):
        piece = rest + piece
        rest = b""
        if b"%" in piece:
            if cut := _CUT_ESCAPE.search(piece[-2:]):
                rest = cut[0]
                piece = piece[: -len(rest)]
            piece = _PERCENT_ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), piece)
        yield piece
    yield rest


def _decode_blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest, padding, position = b"", 0, 0
    special: set[int] = set()  # of the four characters in which the alphabets differ
    for piece in chunks:
        piece = piece.translate(None, WHITESPACE)
        if not piece:
            continue
        letters = piece.rstrip(b"=")
        if padding and letters:
            raise _base64_error(f"more follows behind the padding, at character {position}")
        foreign = letters.translate(None, ALPHABET)
        if foreign:
            if wrong := foreign.translate(None, b"+/-_"):
                at = position + letters.index(wrong[:1])
                raise _base64_error(f"character {at} is {quote(chr(wrong[0]))}")
            special |= set(foreign)
            if special & set(b"+/") and special & set(b"-_"):
                raise _base64_error("it mixes the standard and the URL-safe alphabet")
        padding += len(piece) - len(letters)
        position += len(piece)
        whole = rest + letters.translate(URL_SAFE_TO_STANDARD)
        rest = whole[len(whole) - len(whole) % 4 :]
        yield binascii.a2b_base64(whole[: len(whole) - len(rest)])
    if padding and (padding != -len(rest) % 4 or len(rest) == 1):
        raise _base64_error(f"it ends with {padding} padding characters where {-len(rest) % 4} belong")
    if len(rest) == 1:
        raise _base64_error("it has one character too many, or lost some at its end")
    if rest:
        yield binascii.a2b_base64(rest + b"=" * (4 - len(rest)))


def _base64_error(why: str) -> InvalidRequest:
    return InvalidRequest(f"The recording is not in base64: {why}.", code="invalid_field", param="messages")
