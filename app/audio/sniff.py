"""Which container a recording is in, told by its first bytes: never by a file's name or a Content-Type.

Each format says who reads it. FFmpeg's demuxer is always forced to the one named here: left to probe, it would also
follow playlists and references to other files, which an upload must not reach. Knows nothing about decoding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap
from typing import BinaryIO

from app.errors import InvalidRequest, UnsupportedAudio

# MPEG audio bit rates in kbit/s by (is MPEG-1, layer); index 0 is "free", 15 is forbidden (ISO/IEC 11172-3, 13818-3).
_BITRATES = {
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_CHAINED_FRAMES = 3


@dataclass(frozen=True)
class Format:
    """One accepted container.

    also: what else it is called, or holds, for the list a caller sees.
    libsndfile: read by libsndfile first, by FFmpeg only where libsndfile refuses.
    timed: its packets carry real timestamps, so a gap between two of them is silence that was not stored.
    """

    name: str
    label: str
    demuxer: str
    libsndfile: bool = False
    timed: bool = False
    also: str = ""


FORMATS = {
    entry.name: entry
    for entry in (
        Format("wav", "WAV", "wav", libsndfile=True),
        Format("w64", "Wave64", "w64", libsndfile=True),
        Format("aiff", "AIFF", "aiff", libsndfile=True),
        Format("au", "AU", "au", libsndfile=True),
        Format("caf", "CAF", "caf", libsndfile=True),
        Format("flac", "FLAC", "flac", libsndfile=True),
        Format("ogg", "Ogg", "ogg", libsndfile=True, also="Opus, Vorbis, FLAC, Speex"),
        # libsndfile 1.2 ends an MP3 where its header says: a variable-rate file without a Xing header and two files
        # joined end to end lose their tails without a word. FFmpeg reads every frame.
        Format("mp3", "MP3", "mp3"),
        Format("mp4", "MP4", "mov", timed=True, also="M4A, MOV, 3GP"),
        Format("webm", "WebM", "matroska", timed=True, also="Matroska"),
        Format("aac", "AAC", "aac", also="ADTS"),
        Format("amr", "AMR", "amr"),
        Format("asf", "ASF", "asf", timed=True, also="WMA"),
        Format("avi", "AVI", "avi"),
        Format("flv", "FLV", "flv", timed=True),
        Format("mpegts", "MPEG-TS", "mpegts"),
        Format("wavpack", "WavPack", "wv"),
    )
}
HEAD_BYTES = 65_536  # are enough to tell
ACCEPTED = ", ".join(f"{entry.label} ({entry.also})" if entry.also else entry.label for entry in FORMATS.values())

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00", "w64"),
    (b".snd\x00\x00\x00", "au"),
    (b"caff\x00\x01", "caf"),
    (b"\x1aE\xdf\xa3", "webm"),
    (b"#!AMR\n", "amr"),
    (b"#!AMR-WB\n", "amr"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", "asf"),
    (b"FLV\x01", "flv"),
    (b"wvpk", "wavpack"),
)
_MP4_BOXES = (b"ftyp", b"moov", b"wide", b"mdat", b"skip", b"free", b"pnot", b"styp")


def sniff_file(file: BinaryIO) -> str:
    """`sniff` of a recording in a file, which is at its beginning afterwards."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    return sniff(head)


def sniff(data: bytes | mmap) -> str:
    """Name of the container (a key of `FORMATS`) that `data` starts with; the first `HEAD_BYTES` are enough.

    Raises `InvalidRequest` (code "empty_audio") if there is nothing, `UnsupportedAudio` (code "unsupported_audio") if
    it is none of them.
    """
    if not data:
        raise InvalidRequest("The audio is empty: no bytes were received.", code="empty_audio", param="file")
    name = _identify(data)
    if name is None:
        raise UnsupportedAudio(
            f"This is not audio in a format this service reads (judged by content, not by name). Accepted: {ACCEPTED}.",
            code="unsupported_audio",
            param="file",
        )
    return name


def _identify(data: bytes | mmap) -> str | None:
    head = data[:16]
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return {b"WAVE": "wav", b"AVI ": "avi"}.get(head[8:12])
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] in _MP4_BOXES and (int.from_bytes(head[:4], "big") >= 8 or head[:4] == b"\0\0\0\1"):
        return "mp4"
    if len(data) > 376 and data[0] == data[188] == data[376] == 0x47:
        return "mpegts"
    return _identify_mpeg(data)


def _identify_mpeg(data: bytes | mmap) -> str | None:
    """MP3 or ADTS AAC, behind an ID3v2 tag or bare: they have no magic, so several frames must follow one another."""
    start = 0
    while data[start : start + 3] == b"ID3" and len(data) >= start + 10 and data[start + 3] < 0xFF:
        size = data[start + 6 : start + 10]
        if max(size) > 0x7F:
            break
        start += 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
    if start >= len(data):
        return "mp3"  # the tag is longer than what we were given; what it tags is an MP3 in all but odd cases
    if data[start : start + 4] == b"fLaC":
        return "flac"
    readers: tuple[tuple[Callable[[bytes], int | None], str], ...] = ((_mpeg_frame, "mp3"), (_adts_frame, "aac"))
    return next((name for frame, name in readers if _chained(data, start, frame)), None)


def _chained(data: bytes | mmap, start: int, frame_bytes: Callable[[bytes], int | None]) -> bool:
    for count in range(_CHAINED_FRAMES):
        if start >= len(data):
            return count > 0  # a clip of one or two frames
        size = frame_bytes(data[start : start + 7])
        if size is None:
            return False
        start += size
    return True


def _mpeg_frame(header: bytes) -> int | None:
    """Bytes of the MPEG audio frame of layer II or III that starts with `header`, or None."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate_index, bitrate_index = header[2] >> 2 & 3, header[2] >> 4
    if version == 1 or layer not in (2, 3) or rate_index == 3 or bitrate_index in (0, 15):
        return None
    bitrate, rate = _BITRATES[version == 3, layer][bitrate_index], _MPEG_RATES[version][rate_index]
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * bitrate * 1000 // rate + (header[2] >> 1 & 1)


def _adts_frame(header: bytes) -> int | None:
    """Bytes of the ADTS frame (ISO/IEC 13818-7, 6.2) that starts with `header`, or None."""
    if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return None
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return size if size > 7 else None
