"""The containers that this service reads, and the bytes that each of them starts with.

FFmpeg's demuxer is always set to the one that is named here. If FFmpeg probed the file, it would also follow playlists
and references to other files, which an upload must not reach. This module knows nothing about decoding.
"""

import re
from dataclasses import dataclass
from mmap import mmap

from app.core.audio.containers.byte_pairs import BytePairs


@dataclass(frozen=True)
class ContainerFormat:
    """One accepted container.

    Attributes:
        name: Its key in `FORMATS`.
        label: Its name for callers.
        demuxer: FFmpeg's name of its demuxer.
        read_by_libsndfile: libsndfile reads it, and FFmpeg only what libsndfile refuses.
        has_timestamps: Its packets have true timestamps, so that a gap between them is silence that was not stored.
        aliases: Other names and codecs, for the list of accepted formats.
    """

    name: str
    label: str
    demuxer: str
    read_by_libsndfile: bool = False
    has_timestamps: bool = False
    aliases: str = ""


FORMATS = {
    entry.name: entry
    for entry in (
        ContainerFormat("wav", "WAV", "wav", read_by_libsndfile=True),
        ContainerFormat("w64", "Wave64", "w64", read_by_libsndfile=True),
        ContainerFormat("aiff", "AIFF", "aiff", read_by_libsndfile=True),
        ContainerFormat("au", "AU", "au", read_by_libsndfile=True),
        ContainerFormat("caf", "CAF", "caf", read_by_libsndfile=True),
        ContainerFormat("sphere", "SPHERE", "nistsphere", read_by_libsndfile=True, aliases="NIST"),
        # libsndfile reads a damaged frame as silence and does not check the MD5 sum; FFmpeg checks each frame's CRC.
        ContainerFormat("flac", "FLAC", "flac"),
        ContainerFormat("ogg", "Ogg", "ogg", read_by_libsndfile=True, aliases="Opus, Vorbis, FLAC, Speex"),
        # libsndfile 1.2 ends an MP3 where its header says. It silently loses the end of a file with a variable bit rate
        # and no Xing header, and of files that are joined. FFmpeg reads every frame.
        ContainerFormat("mp3", "MP3", "mp3"),
        ContainerFormat("mp4", "MP4", "mov", has_timestamps=True, aliases="M4A, MOV, 3GP"),
        ContainerFormat("webm", "WebM", "matroska", has_timestamps=True, aliases="Matroska"),
        ContainerFormat("aac", "AAC", "aac", aliases="ADTS"),
        ContainerFormat("loas", "LOAS", "loas", aliases="LATM AAC"),
        ContainerFormat("ac3", "AC-3", "ac3"),
        ContainerFormat("eac3", "E-AC-3", "eac3"),
        ContainerFormat("amr", "AMR", "amr"),
        ContainerFormat("asf", "ASF", "asf", has_timestamps=True, aliases="WMA"),
        ContainerFormat("avi", "AVI", "avi"),
        ContainerFormat("flv", "FLV", "flv", has_timestamps=True),
        ContainerFormat("mpegts", "MPEG-TS", "mpegts"),
        ContainerFormat("mpegps", "MPEG-PS", "mpeg", aliases="MPG, VOB"),
        ContainerFormat("wavpack", "WavPack", "wv"),
    )
}
ACCEPTED_FORMATS = ", ".join(
    f"{entry.label} ({entry.aliases})" if entry.aliases else entry.label for entry in FORMATS.values()
)

# Signatures that are long enough not to occur by chance within a recording.
_MAGIC: tuple[tuple[str, bytes], ...] = (
    ("wav", rb"(?:RIF[FX]|RF64|BW64).{4}WAVE"),
    ("avi", rb"RIFF.{4}AVI "),
    ("aiff", rb"FORM.{4}AIF[FC]"),
    ("w64", rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"),
    ("flac", rb"fLaC[\x00\x80]\x00\x00\x22"),
    ("ogg", rb"OggS\x00[\x02\x06]"),
    ("au", rb"\.snd\x00\x00[\x00-\xff]{2}.{4}\x00\x00\x00[\x01-\x1b]"),
    ("caf", rb"caff\x00\x01\x00\x00desc"),
    ("sphere", rb"NIST_1A\n[ 0-9]{7}\n"),
    ("webm", rb"\x1aE\xdf\xa3.{1,8}B[\x82\x86\xf2\xf3\xf7]"),
    ("amr", rb"#!AMR(?:-WB)?\n"),
    ("asf", rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"),
    ("flv", rb"FLV\x01[\x00-\x07]\x00\x00\x00\x09"),
    ("wavpack", rb"wvpk.{4}[\x02-\x10]\x04"),
    ("mpegps", rb"\x00\x00\x01\xba[\x21\x23-\x2f\x44-\x7f]"),
    ("mp4", rb"\x00\x00[\x00-\x03][\x08-\xff]ftyp[ -~]{4}"),
)
_MAGIC_PATTERNS = {name: re.compile(pattern, re.DOTALL) for name, pattern in _MAGIC}
# The rarest bytes of each signature and their offset from its start.
_ANCHORS: tuple[tuple[bytes, int], ...] = (
    *(
        (magic, 0)
        for magic in (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"riff\x2e\x91", b"fLaC", b"OggS", b".snd")
    ),
    *((magic, 0) for magic in (b"caff\0\1", b"NIST_1A\n", b"\x1aE\xdf\xa3", b"#!AMR", b"\x30\x26\xb2\x75", b"FLV\1")),
    (b"wvpk", 0),
    (b"\1\xba", 2),
    (b"ftyp", 4),
)
# By their first two bytes.
_ANCHORS_BY_PAIR: dict[bytes, list[tuple[bytes, int]]] = {}
for _anchor, _offset in _ANCHORS:
    _ANCHORS_BY_PAIR.setdefault(_anchor[:2], []).append((_anchor, _offset))
_ANCHOR_PAIRS = BytePairs(_ANCHORS_BY_PAIR)
_MAX_ANCHOR_OFFSET = max(offset for _, offset in _ANCHORS)
_FIRST_SEARCH_BYTES, _MAX_SEARCH_BYTES = 1 << 12, 1 << 20
_MAX_MAGIC_BYTES = 32
# Shorter signatures for the beginning of a file, where the whole pattern may be damaged or missing.
_SHORT_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b".snd\x00\x00\x00", "au"),
    (b"caff\x00\x01", "caf"),
    (b"\x1aE\xdf\xa3", "webm"),
    (b"FLV\x01", "flv"),
    (b"wvpk", "wavpack"),
    (b"NIST_1A\n", "sphere"),
)
_MP4_BOXES = (b"ftyp", b"moov", b"wide", b"mdat", b"skip", b"free", b"pnot", b"styp")
_TS_PACKETS = ((188, 0), (192, 4), (204, 0))  # bytes of a packet, bytes before its sync byte
_MIN_TS_PACKETS = 5


def match_format(data: bytes | mmap, position: int) -> str | None:
    """Return the name of the container whose signature is at `position`, or None."""
    return next((name for name, pattern in _MAGIC_PATTERNS.items() if pattern.match(data, position)), None)


def match_short_format(data: bytes | mmap, position: int) -> str | None:
    """Return the container as `match_format` does, by a shorter signature: only for the beginning of a file."""
    head = data[position : position + 16]
    found = next((name for magic, name in _SHORT_MAGIC if head.startswith(magic)), None)
    if found is None and head[4:8] in _MP4_BOXES and (int.from_bytes(head[:4], "big") >= 8 or head[:4] == b"\0\0\0\1"):
        return "mp4"
    return found


def find_format(data: bytes | mmap, start: int, end: int | None = None) -> tuple[str, int] | None:
    """Return (name, position) of the first container that starts between two positions, or None."""
    last = len(data) if end is None else min(end, len(data))
    size = _FIRST_SEARCH_BYTES
    while start < last:
        stop = min(start + size, last)
        block = data[start : min(stop + _MAX_MAGIC_BYTES, last)]
        found = _find_first_format(block)
        if found is not None:
            return found[1], start + found[0]
        # The search starts small: a file of many short recordings is searched often, but never far.
        start, size = stop, min(2 * size, _MAX_SEARCH_BYTES)
    return None


def _find_first_format(block: bytes) -> tuple[int, str] | None:
    """Return (position, name) of the first format in a block, or None."""
    first: tuple[int, str] | None = None
    for position in _ANCHOR_PAIRS.find_all(block):
        if first is not None and position > first[0] + _MAX_ANCHOR_OFFSET:
            break
        for anchor, offset in _ANCHORS_BY_PAIR[block[position : position + 2]]:
            start = position - offset
            if start < 0 or (first is not None and start >= first[0]) or not block.startswith(anchor, position):
                continue
            name = match_format(block, start)
            if name is not None:
                first = start, name
    return first


def find_transport_packets(data: bytes | mmap, start: int, within: int = 1) -> tuple[int, int] | None:
    """Return (position, bytes of a packet) of the first MPEG-TS packets within `within` bytes of `start`, or None.

    Five packets in a row are required (ISO/IEC 13818-1, 2.4.3.2; packets of 192 bytes are Blu-ray's, of 204 DVB's).
    """
    block = data[start : start + within + 4]
    for offset in range(max(0, min(within, len(block) - 4))):
        if 0x47 not in (block[offset], block[offset + 4]):
            continue
        first = start + offset
        for size, ahead in _TS_PACKETS:
            places = [first + ahead + number * size for number in range(_MIN_TS_PACKETS)]
            headers = [data[place : place + 4] for place in places if place + 4 <= len(data)]
            if len(headers) >= 3 and all(one[0] == 0x47 and one[3] & 0x30 for one in headers):
                return first, size
    return None
