"""Finds the recordings in one file: usually one, but files can be joined end to end and carry tags and padding.

Every byte of the file belongs to a recording, to a tag or padding, or to nothing known; of the last, the caller is
told. This module knows nothing about decoding.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from app.core.audio.byte_ranges import MIN_REPORTED_BYTES, ByteRanges, ByteSource
from app.core.audio.containers import frames
from app.core.audio.containers.elements import (
    asf_extent,
    avi_extent,
    flv_extent,
    matroska_extent,
    mp4_extent,
    wavpack_extent,
)
from app.core.audio.containers.extent import Data, Extent, find_end
from app.core.audio.containers.formats import FORMATS, ContainerFormat, find_format
from app.core.audio.containers.iff_chunks import chunk_extent
from app.core.audio.containers.mpeg_streams import program_extent, transport_extent
from app.core.audio.containers.ogg import read_ogg_link
from app.core.audio.containers.padding import skip_padding, skip_tag
from app.core.audio.containers.sniff import find_recording, locate_recording
from app.core.audio.containers.sphere import find_sphere_audio

_RESYNC_BYTES = 1 << 16  # that are searched for the next frame after bytes that are no frame
_MIN_FRAME_S = 0.005  # the shortest frame of all kinds (E-AC-3 with one block at 48 kHz)
_TRUNCATED_WARNING = "The recording may have been cut off: the file ends in the middle of {unit} ({label})."
_UNIT_NAMES = {
    "mpegts": "a packet",
    "mpegps": "a packet",
    "mp4": "a box",
    "webm": "an element",
    "flv": "a tag",
    "wavpack": "a block",
}


@dataclass(frozen=True)
class EmbeddedRecording:
    """One recording of a file.

    Attributes:
        container: Its format.
        start: Its first byte in the file.
        data: Its bytes.
        unread: Sentences about audio that is missing, or is in the recording and is not read.
        warnings: Other sentences for the caller.
        refusal: Why the recording must not be decoded, or None.
        codec: The codec, if its name was found (Ogg).
    """

    container: ContainerFormat
    start: int
    data: ByteRanges
    unread: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    refusal: str | None = None
    codec: str | None = None


@dataclass(frozen=True)
class UnknownBytes:
    """Bytes after a recording that are neither a recording nor a tag nor padding."""

    start: int
    end: int


def find_recordings(data: Data, max_seconds: float) -> Iterator[EmbeddedRecording | UnknownBytes]:
    """Yield the recordings in `data` in order, and larger ranges of bytes between them that belong to none.

    Args:
        data: The file.
        max_seconds: Limits the walk over the frames of a stream, since decoding stops there too.

    Raises:
        ServiceError: As `locate_recording` raises it.
    """
    found: tuple[str, int] | None = locate_recording(data)
    while found is not None:
        name, start = found
        extent, ogg = _find_extent(data, name, start, max_seconds)
        yield from _build_recordings(data, FORMATS[name], start, extent, ogg)
        end = max(extent.end, start + 1)
        behind = skip_padding(data, end)
        if behind >= len(data):
            return
        found = find_recording(data, end)
        between = found[1] if found is not None else len(data)
        if between - behind >= MIN_REPORTED_BYTES:
            yield UnknownBytes(behind, between)


def _build_recordings(
    data: Data, container: ContainerFormat, start: int, extent: Extent, ogg: "_OggFindings | None"
) -> Iterator[EmbeddedRecording]:
    unread = list(extent.unread)
    if extent.lost_bytes >= MIN_REPORTED_BYTES:
        unread.append(f"{extent.lost_bytes:,} bytes within the {container.label} stream are damaged and were not read.")
    if extent.truncated:
        unread.append(_TRUNCATED_WARNING.format(label=container.label, unit=_UNIT_NAMES.get(container.name, "a frame")))
    ogg = ogg or _OggFindings([], None, None)
    pieces: tuple[ByteSource, ...] = extent.pieces or ((start, extent.end),)
    container = FORMATS[extent.container or container.name]
    yield EmbeddedRecording(container, start, ByteRanges(data, *pieces), unread, ogg.warnings, ogg.refusal, ogg.codec)
    for further in extent.further_recordings:
        yield EmbeddedRecording(container, start, ByteRanges(data, *further))


@dataclass(frozen=True)
class _OggFindings:
    warnings: list[str]
    refusal: str | None
    codec: str | None


def _find_extent(data: Data, name: str, start: int, max_seconds: float) -> tuple[Extent, _OggFindings | None]:
    if name == "ogg":
        return _ogg_extent(data, start)
    if name in frames.HEADER_PARSERS:
        return _stream_extent(data, start, start, name, frames.HEADER_PARSERS[name], max_seconds), None
    if name == "amr":
        wide = data[start : start + 9] == b"#!AMR-WB\n"
        reader, behind = (frames.parse_amr_wb_header, start + 9) if wide else (frames.parse_amr_header, start + 6)
        return _stream_extent(data, start, behind, name, reader, max_seconds), None
    return _EXTENTS[name](data, start), None


def _ogg_extent(data: Data, start: int) -> tuple[Extent, _OggFindings]:
    link = read_ogg_link(data, start)
    audio, unread, warnings = link.audio_streams, [], []
    if len(audio) > 1:
        unread.append(f"The file has {len(audio)} audio tracks; only the first was summarized.")
    lost = sum(stream.missing_pages for stream in audio)
    if lost:
        unread.append(f"{lost:,} pages are missing within the Ogg stream.")
    if audio and not all(stream.has_end_page for stream in audio):
        warnings.append("The Ogg stream has no end mark: the recording may have been cut off.")
    refusal = "it ends within a page, or a page is damaged" if link.is_damaged else None
    return Extent(link.end, unread=tuple(unread)), _OggFindings(warnings, refusal, audio[0].codec if audio else None)


def _stream_extent(
    data: Data, first: int, start: int, name: str, reader: frames.FrameHeaderParser, max_seconds: float
) -> Extent:
    """Return how far frames of one kind follow one another from `start`. first: where their header starts."""

    def resume(position: int) -> int | None:
        end = min(len(data), position + _RESYNC_BYTES)
        other = find_format(data, position, end)
        found = frames.find_stream(data, position, other[1] if other else end)
        return found[1] if found is not None and found[0] == name else None

    most_frames = int(min(max_seconds, 1e9) / _MIN_FRAME_S) + 100
    # The first byte of an AMR frame may also be that of a tag.
    size = find_end(data, start, trailing_zeros=False) if name == "amr" else len(data)
    walk = frames.walk_frames(
        data, (start, size), reader, lambda position: skip_tag(data, position), resume, most_frames
    )
    return Extent(walk.end, truncated=walk.truncated, lost_bytes=walk.lost_bytes, pieces=((first, start), *walk.spans))


def _flac_extent(data: Data, start: int) -> Extent:
    return Extent(find_end(data, start + 8, trailing_zeros=False))


def _au_extent(data: Data, start: int) -> Extent:
    head, size = (int.from_bytes(data[start + at : start + at + 4], "big") for at in (4, 8))
    if size >= 0x7FFF_0000:
        return Extent(find_end(data, start + 24))
    return _stated_extent(data, start + 24, start + head + size)


def _sphere_extent(data: Data, start: int) -> Extent:
    audio = find_sphere_audio(data, start)
    return Extent(find_end(data, start + 16)) if audio is None else _stated_extent(data, start + 16, sum(audio))


def _stated_extent(data: Data, searched_from: int, end: int) -> Extent:
    """Return the extent of a file that states its end, but may be cut off where another file starts."""
    if end <= len(data):
        return Extent(end)
    following = find_format(data, searched_from)
    return Extent(following[1] if following else len(data))


_EXTENTS: dict[str, Callable[[Data, int], Extent]] = {
    "wav": lambda data, start: chunk_extent(data, start, "wav"),
    "w64": lambda data, start: chunk_extent(data, start, "w64"),
    "aiff": lambda data, start: chunk_extent(data, start, "aiff"),
    "caf": lambda data, start: chunk_extent(data, start, "caf"),
    "au": _au_extent,
    "sphere": _sphere_extent,
    "flac": _flac_extent,
    "mp4": mp4_extent,
    "webm": matroska_extent,
    "asf": asf_extent,
    "avi": avi_extent,
    "flv": flv_extent,
    "wavpack": wavpack_extent,
    "mpegts": transport_extent,
    "mpegps": program_extent,
}
