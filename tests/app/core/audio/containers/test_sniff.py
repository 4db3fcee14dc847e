"""Formats are recognized by content; what is no audio is refused with the list of accepted formats."""

import base64
import contextlib
import gzip
import io
import os
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from app.core.audio.containers.sniff import FORMATS, HEAD_BYTES, locate_recording, sniff, sniff_file
from app.core.audio.decode import decode
from app.core.audio.limits import DecodeLimits
from app.core.errors import InvalidRequest, ServiceError, UnsupportedAudio
from tests import recordings


@pytest.mark.parametrize("name", recordings.all_formats())
def test_every_format_is_recognised_by_its_first_64_kib(name: str) -> None:
    make, found, _ = recordings.all_formats()[name]
    assert sniff(make()[: 1 << 16]) == found


def test_an_mp3_behind_a_tag_longer_than_what_was_received() -> None:
    assert sniff(b"ID3\x04\x00\x00\x00\x7f\x7f\x7f" + bytes(100)) == "mp3"


def test_flac_behind_an_id3_tag() -> None:
    flac = recordings.encode_audio(recordings.speech(), kind="FLAC")
    assert sniff(b"ID3\x04\x00\x00\x00\x00\x00\x05" + bytes(5) + flac) == "flac"


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
        "\ufeffText in UTF-16 begins like an MP3 frame".encode("utf-16-le") * 20,
        b"\xff\xfb\x90\x64" + b"no second frame follows" * 50,
        b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
        b"<html><body>404</body></html>",
        b"x",
    ],
)
def test_what_is_no_audio_is_refused_with_the_list_of_what_is(data: bytes) -> None:
    with pytest.raises(UnsupportedAudio) as caught:
        sniff(data)
    assert (caught.value.status, caught.value.code) == (415, "unsupported_audio")
    assert all(entry.label in caught.value.message for entry in FORMATS.values())


def test_nothing_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest) as caught:
        sniff(b"")
    assert (caught.value.status, caught.value.code) == (400, "empty_audio")


def _mp3() -> bytes:
    return recordings.mux_speech("mp3", "libmp3lame", rate=16000, options={"write_xing": "0", "id3v2_version": "0"})


STREAMS = {
    "mp3": _mp3,
    "aac": lambda: recordings.mux_speech("adts", "aac"),
    "loas": lambda: recordings.mux_speech("latm", "aac"),
    "ac3": lambda: recordings.mux_speech("ac3", "ac3"),
    "eac3": lambda: recordings.mux_speech("eac3", "eac3"),
    "mpegts": lambda: recordings.mux_speech("mpegts", "mp2"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_may_start_in_the_middle_of_a_frame(name: str) -> None:
    data = STREAMS[name]()
    whole = decode(data, DecodeLimits())
    for start in (1, 2, 3, 7, 50, 150, 777):
        audio = decode(data[start:], DecodeLimits())
        assert audio.source_format == sniff(data[start : start + HEAD_BYTES]) == name
        assert audio.seconds == pytest.approx(whole.seconds, abs=0.35)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_may_follow_zeros_or_noise(name: str) -> None:
    data = STREAMS[name]()
    noise = np.random.default_rng(5).bytes(3000)
    for front in (bytes(1000), bytes(70_000), b"\r\n", noise if name != "mpegts" else b""):
        with io.BytesIO(front + data) as file:
            assert sniff_file(file) == name
            assert file.tell() == 0
        assert locate_recording(front + data) == (name, len(front))


@pytest.mark.parametrize("name", recordings.all_formats())
def test_any_format_may_follow_a_tag_zeros_a_byte_order_mark_or_a_line_end(name: str) -> None:
    make, found, _ = recordings.all_formats()[name]
    data = make()
    tag = b"ID3\x04\x00\x00\x00\x00\x07\x68" + bytes(1000)
    for front in (tag, tag + tag, b"\xef\xbb\xbf", b"\n", b"\r\n\r\n", bytes(1), bytes(4096)):
        assert locate_recording(front + data) == (found, len(front))


def test_rifx_is_read() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, recordings.speech(), 16000, format="WAV", subtype="PCM_16", endian="BIG")
    assert buffer.getvalue()[:4] == b"RIFX"
    assert decode(buffer.getvalue() * 2, DecodeLimits()).seconds == pytest.approx(len(recordings.speech()) / 8000)


def _archive(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("speech.mp3", data)
    return buffer.getvalue()


def _tar(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("speech.mp3")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def test_ordinary_files_are_refused() -> None:
    mp3 = _mp3()
    picture = io.BytesIO()
    with av.open(picture, "w", format="image2pipe") as target:
        track = target.add_stream("mjpeg", rate=1, width=64, height=64, pix_fmt="yuvj420p")
        target.mux(track.encode(av.VideoFrame(64, 64, "yuvj420p")))
        target.mux(track.encode())
    random = np.random.default_rng(2)
    files = [
        _archive(mp3),
        _tar(mp3),
        picture.getvalue(),
        gzip.compress(mp3),
        Path(sys.executable).read_bytes()[:200_000],
        b"%PDF-1.7\n" + mp3,
        b'{"audio": "' + base64.b64encode(mp3) + b'"}',
        b"\xff" * 70_000,
        bytes(200_000),
        random.normal(size=20_000).astype(np.float32).tobytes(),
        np.arange(100_000, dtype=np.int16).tobytes(),
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=audio 5004 RTP/AVP 96\r\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\nhttp://127.0.0.1/a.ts\n",
        b"<?xml version='1.0'?><MPD></MPD>",
        b"GGGG" * 500,
        *(random.bytes(int(size)) for size in random.integers(1, 70_000, size=200)),
    ]
    files += [path.read_bytes() for path in sorted(Path(os.__file__).parent.glob("*.py"))[:100]]
    files += [path.read_bytes()[: 1 << 18] for path in sorted(Path(np.__file__).parent.rglob("*.so"))[:10]]
    for data in files:
        with pytest.raises(ServiceError) as caught:
            sniff_file(io.BytesIO(data))
        assert caught.value.status in (400, 415), data[:40]


def test_bytes_made_to_look_like_frames_take_no_time() -> None:
    start = time.process_time()
    for pattern in (
        b"\xff\xfb\x90\x64",
        b"\xff\xf1\x50\x80\x01\x20\xfc",
        b"\x56\xe0\x10",
        b"\x0b\x77",
        b"\x47\x00\x00\x30",
    ):
        with contextlib.suppress(UnsupportedAudio):
            sniff_file(io.BytesIO(b"x" + pattern * (HEAD_BYTES // len(pattern))))
    assert time.process_time() - start < 2
