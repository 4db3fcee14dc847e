"""How much of its audio chunk a chunked file (WAV, RF64, W64, CAF, AIFF, AU, AVI, ASF) lacks.

The decoders take a file that breaks off for a shorter one and say nothing.

Sources: RIFF (Microsoft/IBM 1991), EBU Tech 3306 (RF64), Sony Wave64, Apple Core Audio Format 1.0, AIFF-C, NeXT/Sun AU,
Microsoft ASF 1.20.3.
"""

from collections.abc import Iterator
from mmap import mmap
from typing import Literal

Order = Literal["little", "big"]

# Writers that cannot seek back leave sizes of this order (ffmpeg 0xFFFFFFFF, sox 0x7FFFF000, CAF -1): no promise.
_UNKNOWN_32 = 0x7FFF_0000
_UNKNOWN_64 = 1 << 62
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def lacking(data: bytes | mmap, container: str) -> float:
    """Share of the audio chunk that `data` promises and does not hold, 0.0 to 1.0; 0.0 where nothing is promised."""
    found = _audio_chunk(data, container)
    if found is None:
        return 0.0
    start, promised = found
    held = max(0, len(data) - start)
    return (promised - held) / promised if promised > held else 0.0


def _audio_chunk(data: bytes | mmap, container: str) -> tuple[int, int] | None:
    """Where the audio starts and how many bytes it has, or None."""
    if container == "au":
        size = int.from_bytes(data[8:12], "big")
        return (int.from_bytes(data[4:8], "big"), size) if len(data) >= 12 and size < _UNKNOWN_32 else None
    if container == "avi":
        size = int.from_bytes(data[4:8], "little")
        return (8, size) if size < _UNKNOWN_32 else None
    if container == "asf":
        return _asf_body(data)
    long_size: int | None = None
    for name, start, size in _chunks(data, container):
        if name == b"ds64":
            long_size = int.from_bytes(data[start + 8 : start + 16], "little")
        elif name in (b"data", b"SSND"):
            size = long_size if long_size is not None and size >= _UNKNOWN_32 else size
            known = _UNKNOWN_64 if long_size is not None or container in ("w64", "caf") else _UNKNOWN_32
            return (start, size) if size < known else None
    return None


def _asf_body(data: bytes | mmap) -> tuple[int, int] | None:
    properties = data.find(_ASF_FILE_PROPERTIES, 0, 1 << 16)
    if properties < 0 or len(data) < properties + 92 or data[properties + 88] & 1:  # broadcast: no size is meant
        return None
    return 0, int.from_bytes(data[properties + 40 : properties + 48], "little")


def _chunks(data: bytes | mmap, container: str) -> Iterator[tuple[bytes, int, int]]:
    """(name, start of its body, size of its body) of each chunk."""
    order: Order = "little" if data[:4] in (b"RIFF", b"RF64", b"BW64") or container == "w64" else "big"
    first, name_bytes, size_bytes, align = {
        "wav": (12, 4, 4, 2),
        "aiff": (12, 4, 4, 2),
        "caf": (8, 4, 8, 1),
        "w64": (40, 16, 8, 8),
    }.get(container, (len(data), 4, 4, 1))
    position = first
    while position + name_bytes + size_bytes <= len(data):
        name = data[position : position + 4]
        start = position + name_bytes + size_bytes
        size = int.from_bytes(data[position + name_bytes : start], order)
        if container == "w64":
            size = max(0, size - 24)  # counts its own header
        yield name, start, size
        position = start + size + -size % align
