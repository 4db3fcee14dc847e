"""Walks over the pages of an Ogg file (RFC 3533) for what decoders do not report: whether it is whole and one stream.

A file may hold several streams, one after another (links of a chain) or at the same time (multiplexed). libsndfile
reads the first stream of the first link, FFmpeg keeps the codec and the rate of the first link, and both read a
truncated file as a shorter one. Here each link becomes a recording of its own.
"""

import zlib
from dataclasses import dataclass, field
from mmap import mmap

from app.core.audio.containers.formats import find_format, match_format
from app.core.audio.containers.padding import skip_padding

_HEADER_BYTES = 27
_FIRST_PAGE_FLAG, _LAST_PAGE_FLAG = 2, 4
_BIT_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_CODECS = (
    (b"OpusHead", "Opus"),
    (b"\x01vorbis", "Vorbis"),
    (b"\x7fFLAC", "FLAC"),
    (b"Speex   ", "Speex"),
    (b"fLaC", "FLAC"),
    (b"PCM     ", "PCM"),
)


@dataclass
class OggStream:
    """One stream of a link.

    Attributes:
        codec: Codec of its audio, or None if it is no audio.
        sequence: Number of its last page.
        has_audio_pages: It has pages with audio.
        missing_pages: Pages that are missing between those with audio.
        has_end_page: Its last page is marked as the end.
    """

    codec: str | None
    sequence: int
    has_audio_pages: bool = False
    missing_pages: int = 0
    has_end_page: bool = False


@dataclass
class OggLink:
    """The streams that play together.

    Attributes:
        end: Position after the last page.
        is_damaged: Not all bytes are whole pages with a valid checksum.
        streams: The streams by serial number.
    """

    end: int
    is_damaged: bool = False
    streams: dict[int, OggStream] = field(default_factory=dict)

    @property
    def audio_streams(self) -> list[OggStream]:
        """The streams that hold audio, in the order of their first pages."""
        return [stream for stream in self.streams.values() if stream.codec is not None]


def read_ogg_link(data: bytes | mmap, start: int) -> OggLink:
    """Read the pages of the link that starts at `start`."""
    position, link, in_body = start, OggLink(start), False
    while position < len(data):
        if data[position : position + 4] != b"OggS":
            following = _find_next_page(data, position)
            if following is None:
                break
            link.is_damaged = True
            position = following
        body = position + _HEADER_BYTES
        segments = data[body : body + data[body - 1]] if body <= len(data) else b""
        end = body + len(segments) + sum(segments)
        if body > len(data) or len(segments) < data[body - 1] or end > len(data):
            link.is_damaged, link.end = True, len(data)
            break
        page = data[position:end]
        # The first pages of streams that play together come first; a first page after other pages starts the next link.
        if page[5] & _FIRST_PAGE_FLAG and in_body:
            break
        in_body = not page[5] & _FIRST_PAGE_FLAG
        # Decoders silently skip a page with a wrong checksum.
        link.is_damaged = link.is_damaged or not _has_valid_checksum(page)
        _record_page(link, page)
        position = link.end = end
    return link


def _find_next_page(data: bytes | mmap, position: int) -> int | None:
    """Return where the pages of this link continue after bytes that are no page, or None if the link ends there."""
    behind = skip_padding(data, position)
    if match_format(data, behind) is not None:
        return None  # tags and padding, then another recording
    following = data.find(b"OggS", position)
    if following < 0 or data[following + 5 : following + 6] in (b"\x02", b"\x06"):
        return None
    other = find_format(data, position, following)
    return following if other is None else None


def _record_page(link: OggLink, page: bytes) -> None:
    serial, sequence = int.from_bytes(page[14:18], "little"), int.from_bytes(page[18:22], "little")
    stream = link.streams.get(serial)
    if stream is None:
        content = page[_HEADER_BYTES + page[26] :]
        codec = next((name for magic, name in _CODECS if content.startswith(magic)), None)
        link.streams[serial] = OggStream(codec, sequence, has_end_page=bool(page[5] & _LAST_PAGE_FLAG))
        return
    # A live stream sends its headers and then the current page, whose number is higher.
    if stream.has_audio_pages and sequence > stream.sequence + 1:
        stream.missing_pages += sequence - stream.sequence - 1
    has_audio = page[6:14] not in (bytes(8), b"\xff" * 8)
    stream.has_audio_pages = stream.has_audio_pages or has_audio
    stream.sequence, stream.has_end_page = sequence, bool(page[5] & _LAST_PAGE_FLAG)


def _has_valid_checksum(page: bytes) -> bool:
    """Return whether a page's checksum is right. Ogg's CRC-32 (RFC 3533, 6) is zlib's with mirrored bytes."""
    noted = int.from_bytes(page[22:26], "little")
    mirrored = (page[:22] + bytes(4) + page[26:]).translate(_BIT_REVERSED)
    found = zlib.crc32(mirrored, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{found:032b}"[::-1], 2) == noted
