"""Reads the chunks of WAV, RF64, Wave64, AIFF and CAF files: where the audio is, and how much of it is missing.

The decoders read only one audio chunk, and read a truncated file as a shorter one.

Sources: RIFF (Microsoft/IBM 1991), EBU Tech 3306 (RF64), Sony Wave64, Apple Core Audio Format 1.0, AIFF-C.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from app.core.audio.byte_ranges import ByteRanges
from app.core.audio.containers.extent import Data, Extent, find_end
from app.core.audio.containers.formats import find_format, match_format
from app.core.audio.containers.sphere import find_sphere_audio

ByteOrder = Literal["little", "big"]

# Writers that cannot seek back leave sizes of this order (ffmpeg 0xFFFFFFFF, sox 0x7FFFF000, CAF -1): unknown.
_UNKNOWN_SIZE_32 = 0x7FFF_0000
_UNKNOWN_SIZE_64 = 1 << 62
_MAX_FORMAT_BYTES = 1 << 16
_AUDIO_CHUNKS = (b"data", b"SSND")
_METADATA_CHUNKS = re.compile(
    rb"LIST|id3 |ID3 |bext|iXML|axml|_PMX|cue |smpl|inst|fact|PEAK|JUNK|junk|PAD |FLLR|afsp|NAME|AUTH|\(c\) |ANNO|COMT"
    rb"|APPL|MARK|INST|free|info|strg|peak|ovvw|uuid|edct|midi|umid|kuki|pakt|chan|levl|summ"
)
_FILE_SIGNATURES = (
    *(b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"caff", b"riff"),
    *(b"OggS", b"fLaC", b".snd", b"wvpk", b"NIST"),
)
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


@dataclass(frozen=True)
class _Layout:
    """How a container writes its chunks: bytes before the first chunk, of a name, of a size, and the alignment."""

    header_bytes: int
    name_bytes: int
    size_bytes: int
    align: int

    @property
    def chunk_header_bytes(self) -> int:
        return self.name_bytes + self.size_bytes


_LAYOUTS = {
    "wav": _Layout(12, 4, 4, 2),
    "aiff": _Layout(12, 4, 4, 2),
    "caf": _Layout(8, 4, 8, 1),
    "w64": _Layout(40, 16, 8, 8),
}


@dataclass(frozen=True)
class _Chunk:
    """One chunk.

    Attributes:
        name: Its four letters.
        start: Position of its header.
        body: Position of its content.
        size: Stated size of its content.
        size_is_known: Whether the stated size is meant.
    """

    name: bytes
    start: int
    body: int
    size: int
    size_is_known: bool

    @property
    def end(self) -> int:
        return self.body + self.size


def chunk_extent(data: Data, start: int, container: str) -> Extent:
    """Return the extent of the WAV, RF64, Wave64, AIFF or CAF file at `start`."""
    audio: list[_Chunk] = []
    end = start + _LAYOUTS[container].header_bytes
    for chunk in _chunks(data, start, container):
        if chunk.name in _AUDIO_CHUNKS:
            audio.append(chunk)
            if not chunk.size_is_known:
                end = find_end(data, chunk.body)
                break
            if chunk.end > len(data):
                # The audio is cut off, where another recording starts or at the end of the file.
                following = find_format(data, chunk.body)
                end = following[1] if following else len(data)
                break
        elif chunk.end > len(data):
            end = len(data) if _METADATA_CHUNKS.fullmatch(chunk.name) else end
            break
        end = chunk.end + -(chunk.end - start) % _LAYOUTS[container].align
    end = min(end, len(data))
    if len(audio) < 2:
        unsized = (
            audio
            and not audio[0].size_is_known
            and (container == "w64" or data[start : start + 4] in (b"RF64", b"BW64"))
        )
        return _rewrite_as_wav(data, start, container, audio[0], end) if unsized else Extent(end)
    head = (start, audio[0].start)
    pieces = [(head, (chunk.start, min(chunk.end, end))) for chunk in audio]
    return Extent(end, pieces=pieces[0], further_recordings=tuple(pieces[1:]))


def _rewrite_as_wav(data: Data, start: int, container: str, audio: _Chunk, end: int) -> Extent:
    """Give Wave64 or RF64 that was written to a pipe a WAV header, because no decoder reads its unknown sizes."""
    for chunk in _chunks(data, start, container):
        if chunk.name == b"fmt " and chunk.size < _MAX_FORMAT_BYTES:
            form = data[chunk.body : chunk.end]
            head = b"RIFF" + b"\xff" * 4 + b"WAVEfmt " + len(form).to_bytes(4, "little") + form
            held = min(end - audio.body, _UNKNOWN_SIZE_32)
            return Extent(end, pieces=(head + b"data" + held.to_bytes(4, "little"), (audio.body, end)), container="wav")
    return Extent(end)


def missing_share(data: ByteRanges, container: str) -> float:
    """Return the share of the audio chunk that is stated and missing, 0.0 to 1.0; 0.0 if no size is stated."""
    found = _audio_chunk(data, container)
    if found is None:
        return 0.0
    start, stated = found
    held = max(0, len(data) - start)
    return (stated - held) / stated if stated > held else 0.0


def _audio_chunk(data: ByteRanges, container: str) -> tuple[int, int] | None:
    """Return (position, stated bytes) of the audio, or None."""
    if container == "au":
        size = int.from_bytes(data[8:12], "big")
        return (int.from_bytes(data[4:8], "big"), size) if len(data) >= 12 and size < _UNKNOWN_SIZE_32 else None
    if container == "avi":
        size = int.from_bytes(data[4:8], "little")
        return (8, size) if size < _UNKNOWN_SIZE_32 else None
    if container == "asf":
        return _asf_file_range(data)
    if container == "sphere":
        return find_sphere_audio(data, 0)
    if container not in _LAYOUTS:
        return None
    for chunk in _chunks(data, 0, container):
        if chunk.name in _AUDIO_CHUNKS:
            return (chunk.body, chunk.size) if chunk.size_is_known else None
    return None


def _asf_file_range(data: ByteRanges) -> tuple[int, int] | None:
    properties = data.find(_ASF_FILE_PROPERTIES, 0, 1 << 16)
    is_broadcast = properties >= 0 and data.byte_at(properties + 88) & 1  # its size is not meant
    if properties < 0 or len(data) < properties + 92 or is_broadcast:
        return None
    return 0, int.from_bytes(data[properties + 40 : properties + 48], "little")


def _byte_order(form: bytes, container: str) -> ByteOrder:
    return "little" if form in (b"RIFF", b"RF64", b"BW64") or container == "w64" else "big"


def _chunks(data: Data | ByteRanges, start: int, container: str) -> Iterator[_Chunk]:
    """Yield the chunks of the file at `start`, up to the first bytes that are no chunk."""
    layout, length = _LAYOUTS[container], len(data)
    order = _byte_order(data[start : start + 4], container)
    long_sizes = container in ("w64", "caf")
    long_size: int | None = None
    position = start + layout.header_bytes
    while position + layout.chunk_header_bytes <= length:
        name = data[position : position + 4]
        if not _is_name(data, position, name):
            # The chunk before has an odd size, and its writer left out the pad byte.
            odd = data[position - 1 : position + 3]
            if layout.align != 2 or not _is_name(data, position - 1, odd) or position == start + layout.header_bytes:
                return
            position, name = position - 1, odd
        body = position + layout.chunk_header_bytes
        size = int.from_bytes(data[position + layout.name_bytes : body], order)
        if container == "w64":
            size = max(0, size - 24)  # the size includes the chunk's header
        known = size < (_UNKNOWN_SIZE_64 if long_sizes else _UNKNOWN_SIZE_32)
        if name == b"ds64":
            long_size = int.from_bytes(data[body + 8 : body + 16], "little")
        elif name in _AUDIO_CHUNKS:
            if long_size is not None and size >= _UNKNOWN_SIZE_32:
                size, known = long_size, long_size < _UNKNOWN_SIZE_64
            # A size of 0 with data after it was left by a writer that could not seek back.
            known = known and (size > 0 or _is_chunk_list(data, body, layout.chunk_header_bytes))
        yield _Chunk(name, position, body, size, known)
        position = body + size + -(body + size - start) % layout.align


def _is_chunk_list(data: Data | ByteRanges, position: int, header_bytes: int) -> bool:
    return position + header_bytes > len(data) or _is_name(data, position, data[position : position + 4])


def _is_name(data: Data | ByteRanges, position: int, name: bytes) -> bool:
    if len(name) < 4 or not all(0x20 <= letter < 0x7F for letter in name) or name[:1] == b" ":
        return False
    if name in _FILE_SIGNATURES:
        return False
    return isinstance(data, ByteRanges) or match_format(data, position) is None
