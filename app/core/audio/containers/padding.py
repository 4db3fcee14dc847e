"""Skips what may come before, between and after recordings: tags, zeros, line ends and byte order marks.

Sources: id3.org (ID3v1, ID3v2.4), the APEv2 and Lyrics3 v2 specifications.
"""

import re
from mmap import mmap

_SEARCH_BYTES = 1 << 16
_MIN_ZEROS = 16  # fewer may be the end of a frame
_LYRICS_END = re.compile(rb"LYRICS200|LYRICSEND")
_PADDING = re.compile(rb"\x00+|\xff{16,}|[\r\n\t ]+|\xef\xbb\xbf")


def skip_padding(data: bytes | mmap, position: int) -> int:
    """Return the position after all padding and tags at `position`."""
    while True:
        behind = skip_tag(data, position)
        if behind == position:
            found = _PADDING.match(data, position)
            behind = found.end() if found else position
        if behind == position:
            behind = _skip_ape_without_header(data, position)
        if behind == position:
            return position
        position = behind


def strip_tags(data: bytes | mmap, start: int, end: int, *, zeros: bool) -> int:
    """Return the end of a recording without the tags that end at `end`.

    Args:
        data: The file.
        start: Where the recording starts.
        end: Where the recording and its tags end.
        zeros: Zeros at the end are also removed.
    """
    while True:
        found = end
        if data[max(start, end - 128) : end][:3] == b"TAG" and end - start >= 128:
            found = end - 128
        footer = data[max(start, end - 32) : end]
        if footer[:8] == b"APETAGEX" and len(footer) == 32:
            found = end - int.from_bytes(footer[12:16], "little") - (32 if footer[23] & 0x80 else 0)
        block = data[max(start, end - _SEARCH_BYTES) : end] if zeros and found == end else b""
        count = len(block) - len(block.rstrip(b"\0"))
        if count >= _MIN_ZEROS:
            found = end - count
        if not start < found < end:
            return end
        end = found


def skip_tag(data: bytes | mmap, position: int) -> int:
    """Return the position after the tag at `position`, which may be after the data's end; without a tag, `position`."""
    head = data[position : position + 32]
    if head[:3] == b"ID3":
        size = id3v2_bytes(head)
        return position + size if size else position
    if head[:4] == b"TAG+":
        return position + 227
    if head[:3] == b"TAG" and len(data) - position >= 128:
        return position + 128
    if head[:8] == b"APETAGEX" and len(head) == 32:
        is_header = head[23] & 0x20
        return position + 32 + (int.from_bytes(head[12:16], "little") if is_header else 0)
    if head[:11] == b"LYRICSBEGIN":
        found = _LYRICS_END.search(data, position, position + _SEARCH_BYTES)
        return found.end() if found else position
    return position


def id3v2_bytes(head: bytes) -> int:
    """Return the size of the ID3v2 tag that starts with `head`, with its footer, or 0 if there is none."""
    if len(head) < 10 or head[:3] != b"ID3" or head[3] >= 0xFF or head[4] >= 0xFF or max(head[6:10]) > 0x7F:
        return 0
    return 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (10 if head[5] & 0x10 else 0)


def _skip_ape_without_header(data: bytes | mmap, position: int) -> int:
    """Return the position after an APE tag without a header. Its items, which have no signature, precede the footer."""
    found = data.find(b"APETAGEX", position, position + _SEARCH_BYTES)
    footer = data[found : found + 32] if found >= 0 else b""
    if len(footer) == 32 and found + 32 - int.from_bytes(footer[12:16], "little") == position:
        return found + 32
    return position
