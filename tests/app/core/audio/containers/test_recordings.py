"""Several recordings in one file are all read, tags and padding are skipped, and other bytes are reported."""

import functools
import struct
import time
from collections.abc import Callable

import numpy as np
import pytest

from app.core.audio.containers.recordings import find_recordings
from app.core.audio.decode import decode
from app.core.audio.limits import DecodeLimits
from app.core.errors import ServiceError
from tests.recordings import encode_audio, mux_speech, speech

LIMITS = DecodeLimits()
SECONDS = 1.0
ID3V1 = b"TAG" + b"The title".ljust(125, b"\0")
ID3V2 = b"ID3\x04\x00\x00\x00\x00\x00\x05" + b"TIT2\0"
# Header, one item of 14 bytes, footer; the sizes are those of the item and the footer.
APE_TAG = (
    struct.pack("<8sIIII8x", b"APETAGEX", 2000, 46, 1, 0xA000_0000)
    + struct.pack("<II6s", 1, 0, b"Key\0Ab")
    + struct.pack("<8sIIII8x", b"APETAGEX", 2000, 46, 1, 0x8000_0000)
)


def clip(rate: int = 16000) -> np.ndarray:
    return speech(rate=rate)[: int(SECONDS * rate)]


def _libsndfile(kind: str, subtype: str, rate: int = 16000) -> bytes:
    return encode_audio(clip(rate), rate, kind=kind, subtype=subtype)


FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "300000"}
MAKERS: dict[str, Callable[[], bytes]] = {
    "wav": functools.partial(_libsndfile, "WAV", "PCM_16"),
    "wav 8 kHz": functools.partial(_libsndfile, "WAV", "ULAW", 8000),
    "rf64": functools.partial(_libsndfile, "RF64", "PCM_24"),
    "w64": functools.partial(_libsndfile, "W64", "PCM_16"),
    "aiff": functools.partial(_libsndfile, "AIFF", "PCM_16"),
    "au": functools.partial(_libsndfile, "AU", "PCM_16"),
    "caf": functools.partial(_libsndfile, "CAF", "PCM_16"),
    "sphere": functools.partial(_libsndfile, "NIST", "PCM_16"),
    "flac": functools.partial(_libsndfile, "FLAC", "PCM_16"),
    "flac 44.1 kHz": functools.partial(_libsndfile, "FLAC", "PCM_24", 44100),
    "opus": functools.partial(_libsndfile, "OGG", "OPUS"),
    "vorbis": functools.partial(_libsndfile, "OGG", "VORBIS"),
    "vorbis 8 kHz": functools.partial(_libsndfile, "OGG", "VORBIS", 8000),
    "ogg flac": functools.partial(mux_speech, "ogg", "flac", rate=16000, seconds=SECONDS),
    "wav to a pipe": functools.partial(mux_speech, "wav", "pcm_s16le", rate=16000, seconds=SECONDS, pipe=True),
    "w64 to a pipe": functools.partial(mux_speech, "w64", "pcm_s16le", rate=16000, seconds=SECONDS, pipe=True),
    "au to a pipe": functools.partial(mux_speech, "au", "pcm_s16be", rate=16000, seconds=SECONDS, pipe=True),
    "mp3": functools.partial(mux_speech, "mp3", "libmp3lame", rate=44100, seconds=SECONDS),
    "mp3 16 kHz": functools.partial(mux_speech, "mp3", "libmp3lame", rate=16000, seconds=SECONDS),
    "mp2": functools.partial(mux_speech, "mp2", "mp2", seconds=SECONDS),
    "aac": functools.partial(mux_speech, "adts", "aac", seconds=SECONDS),
    "loas": functools.partial(mux_speech, "latm", "aac", seconds=SECONDS),
    "ac3": functools.partial(mux_speech, "ac3", "ac3", seconds=SECONDS),
    "eac3": functools.partial(mux_speech, "eac3", "eac3", seconds=SECONDS),
    "amr": functools.partial(mux_speech, "amr", "libopencore_amrnb", rate=8000, bit_rate=12_200, seconds=SECONDS),
    "m4a": functools.partial(mux_speech, "ipod", "aac", seconds=SECONDS),
    "fragmented mp4": functools.partial(mux_speech, "mp4", "aac", seconds=SECONDS, options=FRAGMENTED),
    "webm": functools.partial(mux_speech, "webm", "libopus", seconds=SECONDS),
    "live webm": functools.partial(mux_speech, "webm", "libopus", seconds=SECONDS, options={"live": "1"}, pipe=True),
    "wma": functools.partial(mux_speech, "asf", "wmav2", rate=44100, seconds=SECONDS),
    "live wma": functools.partial(mux_speech, "asf", "wmav2", rate=44100, seconds=SECONDS, pipe=True),
    "flv": functools.partial(mux_speech, "flv", "aac", rate=44100, seconds=SECONDS),
    "avi": functools.partial(mux_speech, "avi", "libmp3lame", rate=44100, seconds=SECONDS),
    "ts": functools.partial(mux_speech, "mpegts", "aac", seconds=SECONDS),
    "ts of mp2": functools.partial(mux_speech, "mpegts", "mp2", seconds=SECONDS),
    "m2ts": functools.partial(mux_speech, "mpegts", "aac", seconds=SECONDS, options={"mpegts_m2ts_mode": "1"}),
    "mpeg": functools.partial(mux_speech, "mpeg", "mp2", seconds=SECONDS),
    "vob": functools.partial(mux_speech, "vob", "ac3", seconds=SECONDS),
    "wavpack": functools.partial(mux_speech, "wv", "wavpack", seconds=SECONDS),
}


@functools.cache
def make_file(name: str) -> bytes:
    return MAKERS[name]()


@pytest.mark.parametrize("name", MAKERS)
def test_a_healthy_file_is_complete_also_twice_and_with_tags_and_padding_around_it(name: str) -> None:
    data = make_file(name)
    once = decode(data, LIMITS)
    assert once.warnings == []
    assert once.seconds == pytest.approx(SECONDS, abs=0.13)
    twice = decode(data + data, LIMITS)
    assert (twice.unread, twice.seconds) == ([], pytest.approx(2 * once.seconds, abs=0.15))
    for behind in (bytes(5000), ID3V1, APE_TAG, APE_TAG + ID3V1, b"\r\n"):
        padded = decode(data + behind, LIMITS)
        # The file of a live recorder does not state its end, so zeros there are silence.
        most = 0.4 if "pipe" in name else 0.05
        assert (padded.warnings, padded.seconds) == ([], pytest.approx(once.seconds, abs=most))
    for before in (ID3V2, b"\xef\xbb\xbf", b"\r\n", bytes(3000)):
        assert decode(before + data, LIMITS).seconds == pytest.approx(once.seconds, abs=0.05)


@pytest.mark.parametrize(("first", "number"), [(first, number) for number, first in enumerate(MAKERS)])
def test_files_of_different_formats_joined_are_read_in_order(first: str, number: int) -> None:
    names = list(MAKERS)
    others = [names[(number + step) % len(names)] for step in (1, 7, 19)]
    data = make_file(first) + b"".join(make_file(other) for other in others)
    audio = decode(data, LIMITS)
    if not audio.unread:
        expected = sum(decode(make_file(name), LIMITS).seconds for name in (first, *others))
        assert audio.seconds == pytest.approx(expected, abs=0.3)
    else:  # a packet stream within raw samples or frames is reported, not read
        assert {first, *others} & {"ts", "ts of mp2", "m2ts"}
    assert audio.source_format == next(iter(find_recordings(make_file(first), 60))).container.name  # type: ignore[union-attr]


@pytest.mark.parametrize("name", [name for name in MAKERS if "pipe" not in name])
def test_bytes_of_no_known_format_behind_a_recording_are_told_of(name: str) -> None:
    once = decode(make_file(name), LIMITS)
    for junk in (np.random.default_rng(1).bytes(3000), b"neither a tag nor a recording. " * 50):
        audio = decode(make_file(name) + junk, LIMITS)
        assert audio.seconds == pytest.approx(once.seconds, abs=0.1)
        assert audio.unread
        assert set(audio.unread) <= set(audio.warnings)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _wav(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_every_data_chunk_of_a_wav_is_read() -> None:
    whole = encode_audio(clip(), subtype="PCM_16")
    form, data = _chunk(b"fmt ", whole[20:36]), _chunk(b"data", whole[44:])
    list_chunk = _chunk(b"LIST", b"INFOodd")
    for chunks in ((form, data, data), (form, data, list_chunk, data), (form, _chunk(b"data", b""), data, data)):
        audio = decode(_wav(*chunks), LIMITS)
        assert (audio.seconds, audio.unread) == (2 * SECONDS, [])
        np.testing.assert_allclose(audio.samples[16000:], audio.samples[:16000])
    behind_the_form = decode(_wav(form, data) + data, LIMITS)
    assert behind_the_form.seconds == 2 * SECONDS


def test_samples_behind_a_data_chunk_that_is_too_short_are_told_of() -> None:
    data = bytearray(encode_audio(clip(), subtype="PCM_16"))
    data[40:44] = struct.pack("<I", 16000)
    audio = decode(bytes(data), LIMITS)
    assert (audio.seconds, len(audio.unread)) == (0.5, 1)


def test_chunks_of_metadata_and_a_missing_pad_byte_are_no_cause_for_a_warning() -> None:
    whole = encode_audio(clip(), subtype="PCM_16")
    form, list_chunk = _chunk(b"fmt ", whole[20:36]), _chunk(b"LIST", b"INFOabcd")
    unpadded = b"data" + struct.pack("<I", 31999) + whole[44 : 44 + 31999]
    for data in (_wav(form, unpadded, list_chunk), _wav(form, _chunk(b"data", whole[44:])) + list_chunk * 100):
        assert decode(data, LIMITS).warnings == []


def test_a_further_recording_that_cannot_be_decoded_does_not_cost_the_first() -> None:
    nine = encode_audio(np.repeat(clip()[:, None], 9, axis=1))
    cut = make_file("wav")[:20000]
    for further in (nine, cut, b"fLaC\x00\x00\x00\x22" + bytes(600)):
        audio = decode(make_file("wav") + further, LIMITS)
        assert audio.seconds >= SECONDS
        assert "was not read" in audio.unread[0] or "missing" in audio.unread[0]


def test_limits_hold_over_all_recordings_of_a_file() -> None:
    tiny = encode_audio(np.zeros(160, np.float32), subtype="PCM_16")
    start = time.process_time()
    for data, limits, code in (
        (tiny * 5000, LIMITS, "too_many_parts"),
        (tiny * 500, DecodeLimits(max_seconds=2), "audio_too_long"),
        (tiny * 500, DecodeLimits(max_samples=9999), "too_many_samples"),
        (make_file("opus") * 5, DecodeLimits(max_seconds=3), "audio_too_long"),
    ):
        with pytest.raises(ServiceError) as caught:
            decode(data, limits)
        assert (caught.value.status, caught.value.code) == (413, code)
    assert sum(1 for _ in find_recordings(make_file("amr") * 1000, 1e9)) == 1000
    assert time.process_time() - start < 10
    assert decode(tiny * 900, LIMITS).seconds == pytest.approx(9)
