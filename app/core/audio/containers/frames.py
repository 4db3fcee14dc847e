"""Finds the frames of audio streams without a container: MPEG audio, ADTS and LOAS AAC, AC-3, E-AC-3 and AMR.

Such a stream has no header of its own, and a frame starts with only two to four known bytes. A position counts as the
start of a stream if several frames of one kind follow one another there. This module knows nothing about decoding.

Sources: ISO/IEC 11172-3 and 13818-3 (MPEG audio), ISO/IEC 13818-7 (ADTS), ISO/IEC 14496-3 (LOAS), ETSI TS 102 366
(AC-3 and E-AC-3), RFC 4867 (AMR).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from mmap import mmap
from typing import NamedTuple

from app.core.audio.containers.byte_pairs import BytePairs

# MPEG audio bit rates in kbit/s by (is MPEG-1, layer); index 0 is "free", 15 is forbidden.
_BITRATES = {
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_AC3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AC3_RATES = (48000, 44100, 32000)
_AMR_BYTES = {
    "amr": (13, 14, 16, 18, 20, 21, 27, 32, 6, 7, 6, 6, 1, 1, 1, 1),
    "amr-wb": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1),
}
HEADER_BYTES = 7  # enough to read a frame's length
_MIN_FRAMES = 3  # at a position where a stream is expected
_MIN_FRAMES_IN_SEARCH = 8  # at a position that a search found
_MAX_FAULTS = 1000
MAX_CANDIDATES = 4096
_TAGS = (b"ID3", b"TAG", b"APE", b"LYR")
_SYNC_PAIRS = BytePairs(
    [
        *(bytes((0xFF, second)) for second in range(0xE2, 0x100)),
        *(bytes((0x56, second)) for second in range(0xE0, 0x100)),
        b"\x0b\x77",
    ]
)


class FrameHeader(NamedTuple):
    """The header of a frame. A tuple, since a search makes one for every few hundred bytes of a file.

    Attributes:
        frame_bytes: Size of the whole frame.
        kind: The values that all frames of one stream share.
    """

    frame_bytes: int
    kind: tuple[object, ...]


FrameHeaderParser = Callable[[bytes], FrameHeader | None]


def parse_mpeg_header(header: bytes) -> FrameHeader | None:
    """Return the frame of MPEG audio layer II or III that starts with `header`, or None. Free format is not known."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate_index, bitrate_index = header[2] >> 2 & 3, header[2] >> 4
    if version == 1 or layer not in (2, 3) or rate_index == 3 or bitrate_index in (0, 15) or header[3] & 3 == 2:
        return None
    bitrate, rate = _BITRATES[version == 3, layer][bitrate_index] * 1000, _MPEG_RATES[version][rate_index]
    padding = header[2] >> 1 & 1
    samples = 576 if layer == 3 and version != 3 else 1152
    return FrameHeader(samples // 8 * bitrate // rate + padding, (version, layer, rate))


def parse_adts_header(header: bytes) -> FrameHeader | None:
    """Return the ADTS frame that starts with `header`, or None."""
    if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return None
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return FrameHeader(size, (header[1] & 8, header[2] & 0xFD, header[3] & 0xC0)) if size > 7 else None


def parse_loas_header(header: bytes) -> FrameHeader | None:
    """Return the LOAS frame (AudioSyncStream) that starts with `header`, or None."""
    if len(header) < 4 or header[0] != 0x56 or header[1] & 0xE0 != 0xE0:
        return None
    size = (header[1] & 0x1F) << 8 | header[2]
    return FrameHeader(size + 3, ()) if size > 1 else None


def parse_ac3_header(header: bytes) -> FrameHeader | None:
    """Return the AC-3 frame that starts with `header`, or None."""
    if len(header) < 6 or header[:2] != b"\x0b\x77" or header[5] >> 3 > 10:
        return None
    rate_index, size_index = header[4] >> 6, header[4] & 63
    if rate_index == 3 or size_index >= 2 * len(_AC3_KBPS):
        return None
    rate, bitrate = _AC3_RATES[rate_index], _AC3_KBPS[size_index // 2] * 1000
    words = 96 * bitrate // rate + (size_index & 1 if rate == 44100 else 0)
    return FrameHeader(2 * words, (rate, header[5] >> 3))


def parse_eac3_header(header: bytes) -> FrameHeader | None:
    """Return the E-AC-3 frame that starts with `header`, or None."""
    if len(header) < 6 or header[:2] != b"\x0b\x77" or not 11 <= header[5] >> 3 <= 16 or header[2] >> 6 == 3:
        return None
    size = 2 * (((header[2] & 7) << 8 | header[3]) + 1)
    return FrameHeader(size, (header[4] >> 6, header[5] >> 3)) if size > 8 else None


def parse_amr_header(header: bytes, kind: str = "amr") -> FrameHeader | None:
    """Return the frame of AMR ("amr") or AMR-WB ("amr-wb") that starts with `header`, or None."""
    # Zeros are padding, although they are also valid frames of the lowest rate.
    if not header.strip(b"\0") or header[0] & 0x83:
        return None
    return FrameHeader(_AMR_BYTES[kind][header[0] >> 3 & 15], (kind,))


def parse_amr_wb_header(header: bytes) -> FrameHeader | None:
    """Return the AMR-WB frame that starts with `header`, or None."""
    return parse_amr_header(header, "amr-wb")


# By the names of the formats in `app.core.audio.containers.formats`. The first one that fits is taken.
HEADER_PARSERS: dict[str, FrameHeaderParser] = {
    "mp3": parse_mpeg_header,
    "aac": parse_adts_header,
    "ac3": parse_ac3_header,
    "eac3": parse_eac3_header,
    "loas": parse_loas_header,
}
_NAMES_BY_FIRST_BYTE = {b"\xff": ("mp3", "aac"), b"\x0b": ("ac3", "eac3"), b"\x56": ("loas",)}


def match_stream(data: bytes | mmap, start: int, min_frames: int = _MIN_FRAMES) -> str | None:
    """Return the name of the stream whose frames follow one another from `start`, or None.

    At least `min_frames` frames of one kind are required, or frames up to the end of the data, for very short clips.
    """
    for name in _NAMES_BY_FIRST_BYTE.get(data[start : start + 1], ()):
        if _is_chain(data, start, HEADER_PARSERS[name], min_frames):
            return name
    return None


def find_stream(
    data: bytes | mmap, start: int, end: int, max_candidates: int = MAX_CANDIDATES
) -> tuple[str, int] | None:
    """Return (name, position) of the first stream of frames between two positions, or None.

    Args:
        data: The file.
        start: The first position.
        end: The end of the range.
        max_candidates: Positions with the first bytes of a frame that are tried, which limits the time.
    """
    for position in islice(_SYNC_PAIRS.iterate(data, start, end), max_candidates):
        name = match_stream(data, position, _MIN_FRAMES_IN_SEARCH)
        if name is not None:
            return name, position
    return None


def _is_chain(data: bytes | mmap, start: int, reader: FrameHeaderParser, min_frames: int) -> bool:
    kind: tuple[object, ...] | None = None
    for count in range(min_frames):
        if start >= len(data):
            if min_frames == _MIN_FRAMES:  # one whole frame, or two, the last of which may be cut off
                return count > 1 or start == len(data)
            return count >= _MIN_FRAMES
        frame = reader(data[start : start + HEADER_BYTES])
        if frame is None or (kind is not None and frame.kind != kind):
            return False
        kind = frame.kind
        start += frame.frame_bytes
    return True


@dataclass(frozen=True)
class FrameWalk:
    """What a walk over the frames of a stream found.

    Attributes:
        end: Position after the last frame.
        truncated: The data end within a frame.
        lost_bytes: Bytes between frames that are neither frames nor tags.
        spans: (start, end) of the frames that follow one another without a gap.
    """

    end: int
    truncated: bool
    lost_bytes: int
    spans: tuple[tuple[int, int], ...]


def walk_frames(
    data: bytes | mmap,
    span: tuple[int, int],
    reader: FrameHeaderParser,
    skip_tags: Callable[[int], int],
    resume: Callable[[int], int | None],
    max_frames: int,
) -> FrameWalk:
    """Walk over the frames of a span of the data.

    Args:
        data: The file.
        span: (start, end); a frame starts at its start.
        reader: Parses a frame's header.
        skip_tags: Returns the position after the tags at a position.
        resume: Returns the position of the next frame after damaged bytes, or None.
        max_frames: The walk stops here, because decoding stops there too.
    """
    start, size = span
    position = end = first = start
    spans: list[tuple[int, int]] = []
    lost = faults = frames = 0
    truncated = False
    while position < size and frames < max_frames:
        header = data[position : position + HEADER_BYTES]
        behind = skip_tags(position) if header[:3] in _TAGS else position
        frame = reader(header) if behind == position else None
        if frame is not None and position + frame.frame_bytes <= size:
            position += frame.frame_bytes
            end = position
            frames += 1
            continue
        if frame is not None:
            truncated, end = True, size
            break
        if end > first:
            spans.append((first, end))
        if behind == position:
            found = resume(position) if faults < _MAX_FAULTS else None
            if found is None:
                # Fewer bytes than a header may be the start of a frame that was cut off.
                rest = data[position : min(size, position + HEADER_BYTES)]
                truncated = len(rest) < HEADER_BYTES and rest[:2] == data[start : start + len(rest[:2])]
                first = end
                end = size if truncated else end
                break
            lost += found - position
            faults += 1
            behind = found
        position = first = behind
    else:
        end = size if frames >= max_frames else end
    if end > first:
        spans.append((first, end))
    return FrameWalk(end, truncated, lost, tuple(spans))
