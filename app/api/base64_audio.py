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
from app.core.audio.samples import spool
from app.core.errors import InvalidRequest, quote

SPACE = b" \t\r\n"
PRINTABLE = bytes(range(0x20, 0x100))
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
URL_SAFE = bytes.maketrans(b"-_", b"+/")
HEAD_BYTES = 1024  # a data: URL's, up to its comma
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")
# A JSON escape or a percent escape that a block's end may have cut: the longest has six characters.
_CUT = re.compile(rb"(?:\\u?[0-9A-Fa-f]{0,3}|%[0-9A-Fa-f]?)\Z")


def decode_audio(written: str | LongString) -> BinaryIO:
    """The recording, in a file without a name. Raises InvalidRequest (400) if it is not base64, OSError."""
    pieces = (written.encode("utf-8", "replace"),) if isinstance(written, str) else _unescape(written.pieces())
    file = spool()
    try:
        for block in _decode_blocks(_without_head(pieces)):
            file.write(block)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _unescape(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of a JSON string without JSON's escapes: PHP writes `\\/`, .NET `\\u002B`."""
    rest = b""
    for piece in pieces:
        piece = rest + piece
        rest = b""
        if piece.translate(None, PRINTABLE):
            raise _not_base64("a string in JSON holds no control characters; write a line break as \\n")
        if b"\\" in piece:
            if cut := _CUT.search(piece[-6:]):
                rest = cut[0]
                piece = piece[: -len(rest)]
            try:
                piece = json.loads(b'"' + piece + b'"').encode("utf-8", "replace")
            except ValueError:
                raise _not_base64("it holds an escape that is not JSON's") from None
        yield piece
    if rest:
        raise _not_base64("it holds an escape that is not JSON's")


def _without_head(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Without the head of a `data:` URL (RFC 2397), and its percent escapes."""
    pieces = iter(pieces)
    first = b""
    for piece in pieces:
        first += piece
        if len(first) > HEAD_BYTES:
            break
    first = first.lstrip(SPACE)
    if first[:5].lower() != b"data:":
        yield first
        yield from pieces
        return
    head, comma, first = first.partition(b",")
    if not comma or len(head) > HEAD_BYTES or not head.lower().replace(b" ", b"").endswith(b";base64"):
        raise _not_base64("the data: URL does not say ;base64 before its comma")
    rest = b""
    for piece in chain((first,), pieces):
        piece = rest + piece
        rest = b""
        if b"%" in piece:
            if cut := _CUT.search(piece[-2:]):
                rest = cut[0]
                piece = piece[: -len(rest)]
            piece = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), piece)
        yield piece
    yield rest


def _decode_blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest, padding, position = b"", 0, 0
    special: set[int] = set()  # of the four characters in which the alphabets differ
    for piece in pieces:
        piece = piece.translate(None, SPACE)
        if not piece:
            continue
        letters = piece.rstrip(b"=")
        if padding and letters:
            raise _not_base64(f"more follows behind the padding, at character {position}")
        foreign = letters.translate(None, ALPHABET)
        if foreign:
            if wrong := foreign.translate(None, b"+/-_"):
                at = position + letters.index(wrong[:1])
                raise _not_base64(f"character {at} is {quote(chr(wrong[0]))}")
            special |= set(foreign)
            if special & set(b"+/") and special & set(b"-_"):
                raise _not_base64("it mixes the standard and the URL-safe alphabet")
        padding += len(piece) - len(letters)
        position += len(piece)
        whole = rest + letters.translate(URL_SAFE)
        rest = whole[len(whole) - len(whole) % 4 :]
        yield binascii.a2b_base64(whole[: len(whole) - len(rest)])
    if padding and (padding != -len(rest) % 4 or len(rest) == 1):
        raise _not_base64(f"it ends with {padding} padding characters where {-len(rest) % 4} belong")
    if len(rest) == 1:
        raise _not_base64("it has one character too many, or lost some at its end")
    if rest:
        yield binascii.a2b_base64(rest + b"=" * (4 - len(rest)))


def _not_base64(why: str) -> InvalidRequest:
    return InvalidRequest(f"The recording is not in base64: {why}.", code="invalid_field", param="messages")
