"""Finds where a recording starts in a file and in which container, by its bytes, not by a file name or Content-Type.

Tags, a byte order mark, line ends and zeros may come before a recording. A stream without a container may start in the
middle of a frame. This module knows nothing about decoding.
"""

import re
from mmap import mmap
from typing import BinaryIO

from app.core.audio.containers.formats import (
    ACCEPTED_FORMATS,
    FORMATS,
    ContainerFormat,
    find_format,
    find_transport_packets,
    match_format,
    match_short_format,
)
from app.core.audio.containers.frames import find_stream, match_stream
from app.core.audio.containers.padding import id3v2_bytes, skip_padding
from app.core.errors import InvalidRequest, UnsupportedAudio

__all__ = [
    "ACCEPTED_FORMATS",
    "FORMATS",
    "HEAD_BYTES",
    "ContainerFormat",
    "find_recording",
    "locate_recording",
    "sniff",
    "sniff_file",
]

HEAD_BYTES = 65_536  # enough to recognize a format
_MAX_LEADING_ZEROS = 16 << 20  # before a recording
_SEARCH_BYTES = 1 << 20  # after a recording, for a stream without a container
# First bytes of files that may hold frames of MPEG audio without being a recording: archives, programs, pictures,
# documents, fonts, other media. They are not searched for streams.
_NON_AUDIO_MAGIC = re.compile(
    rb"PK[\x01-\x08]|%PDF|%!PS|\x89PNG|GIF8|\xff\xd8\xff|BM.{4}\x00{4}|II\*\x00|MM\x00\*|\x00\x00\x01\x00[^\x00]\x00|8BPS"
    rb"|\x1f\x8b|\x1f\x9d|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd|\x04\x22\x4d\x18|MSCF|!<arch>|\xed\xab\xee\xdb|xar!"
    rb"|\x7fELF|MZ|\xca\xfe\xba\xbe|[\xfe-\xff]\xed\xfa[\xce-\xcf]|[\xce-\xcf]\xfa\xed\xfe|\x00asm|dex\n|SQLite f"
    rb"|\xd0\xcf\x11\xe0|\{\\rtf|wOF[F2]|OTTO|true\x00|\x00\x01\x00\x00.\x00|[FCZ]WS[\x01-\x40]|MThd|IMPM"
    rb"|RIF[FX]|RF64|FORM|LIST|\x93NUMPY|\x89HDF|PAR1|GGUF|.{7}\x00\{\"|\x80[\x02-\x05].|<[?!a-zA-Z]|[\{\[]\s*[\"\{\[\]\}]",
    re.DOTALL,
)
_TAR_MAGIC_SLICE = slice(257, 262)


def sniff_file(file: BinaryIO) -> str:
    """Return the container of the recording in a file, as `sniff` does. The file is at its beginning afterwards."""
    file.seek(0)
    head, passed = file.read(HEAD_BYTES), 0
    while len(head) >= HEAD_BYTES and not head.strip(b"\0") and passed < _MAX_LEADING_ZEROS:
        passed += HEAD_BYTES
        head = head[-4:] + file.read(HEAD_BYTES)
    file.seek(0)
    return sniff(head)


def sniff(data: bytes | mmap) -> str:
    """Return the name of the container (a key of `FORMATS`) that `data` starts with; `HEAD_BYTES` are enough.

    Raises:
        ServiceError: As `locate_recording` raises it.
    """
    return locate_recording(data)[0]


def locate_recording(data: bytes | mmap) -> tuple[str, int]:
    """Return (name of the container, position of its first byte) of the recording that `data` starts with.

    Raises:
        InvalidRequest: If `data` is empty (code "empty_audio").
        UnsupportedAudio: If `data` has none of the `FORMATS` (code "unsupported_audio").
    """
    if not data:
        raise InvalidRequest("The audio is empty: no bytes were received.", code="empty_audio", param="file")
    found = _first_recording(data)
    if found is None:
        raise UnsupportedAudio(
            "This is not audio in a format that this service reads (judged by content, not by name). Accepted: "
            f"{ACCEPTED_FORMATS}.",
            code="unsupported_audio",
            param="file",
        )
    return found


def find_recording(data: bytes | mmap, position: int) -> tuple[str, int] | None:
    """Return the next recording at or after `position`, which is the end of another one, or None if there is none.

    The result is that of `locate_recording`.
    """
    found = _recording_at(data, position) or _recording_at(data, skip_padding(data, position))
    if found is not None:
        return found
    named = find_format(data, position)
    end = named[1] if named else len(data)
    return find_stream(data, position, min(end, position + _SEARCH_BYTES)) or named


def _first_recording(data: bytes | mmap) -> tuple[str, int] | None:
    head = data[:16]
    name = match_format(data, 0) or match_short_format(data, 0)
    if name is not None:
        return name, 0
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM"):
        return None
    start = skip_padding(data, 0)
    if start >= len(data) and id3v2_bytes(head):
        return "mp3", 0  # the tag is longer than the data; what it tags is an MP3 in nearly all cases
    found = _recording_at(data, start)
    if found is None and start:
        name = match_short_format(data, start)
        found = (name, start) if name else None
    if found is not None or _NON_AUDIO_MAGIC.match(data, start) or data[_TAR_MAGIC_SLICE] == b"ustar":
        return found
    return _find_partial_stream(data, start)


def _recording_at(data: bytes | mmap, position: int) -> tuple[str, int] | None:
    """Return the recording that starts at `position`, or a few zeros before it that belong to its first box."""
    for start in range(position, max(-1, position - 4), -1):
        if start < position and data[start : start + 1] != b"\0":
            break
        name = match_format(data, start)
        if name is not None:
            return name, start
    packets = find_transport_packets(data, max(0, position - 4), within=5 if position >= 4 else position + 1)
    if packets is not None:
        return "mpegts", packets[0]
    name = match_stream(data, position)
    return None if name is None else (name, position)


def _find_partial_stream(data: bytes | mmap, start: int) -> tuple[str, int] | None:
    """Return a stream without a container that was cut out of a longer one and starts in the middle of a frame."""
    end = min(len(data), start + HEAD_BYTES)
    packets = find_transport_packets(data, start, within=min(204, max(1, end - start)))
    if packets is not None:
        return "mpegts", packets[0]
    return find_stream(data, start, end)
