"""A walk over an Ogg file's pages (RFC 3533), for what the decoders do not tell: is it whole, is it one stream.

libsndfile plays the first of several chained streams and takes a file that breaks off for a shorter one.
"""

import zlib
from dataclasses import dataclass
from mmap import mmap

_HEADER = 27
_FIRST, _LAST = 2, 4
_MIRRORED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass(frozen=True)
class OggSurvey:
    """links: streams one after another. ended: the last page says it is. broken: bytes that are no whole page."""

    links: int
    ended: bool
    broken: bool


def survey(data: bytes | mmap) -> OggSurvey:
    """Walk the pages of `data`, skipping over what is not one."""
    position, links, flags, broken = 0, 0, 0, False
    seen_body = True
    while position < len(data):
        if data[position : position + 4] != b"OggS":
            broken = True
            position = data.find(b"OggS", position + 1)
            if position < 0:
                break
        body = position + _HEADER
        segments = data[body : body + data[body - 1]] if body <= len(data) else b""
        end = body + len(segments) + sum(segments)
        if end > len(data):
            broken = True
            break
        # Decoders leave out a page whose checksum is wrong, without a word.
        broken = broken or not _intact(data[position:end])
        flags = data[position + 5]
        # First pages of streams that play together stand side by side; one after a body page starts the next link.
        if flags & _FIRST:
            links += seen_body
            seen_body = False
        else:
            seen_body = True
        position = end
    return OggSurvey(links=links, ended=bool(flags & _LAST), broken=broken)


def _intact(page: bytes) -> bool:
    """Whether a page's checksum holds. Ogg's CRC-32 (RFC 3533, 6) is zlib's with mirrored bytes."""
    noted = int.from_bytes(page[22:26], "little")
    mirrored = (page[:22] + bytes(4) + page[26:]).translate(_MIRRORED)
    found = zlib.crc32(mirrored, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{found:032b}"[::-1], 2) == noted
