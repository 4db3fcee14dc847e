"""A recording that was cut off anywhere is refused or reported as incomplete; a whole one never is."""

import functools
from collections.abc import Callable

import numpy as np
import pytest

from app.core.audio.decode import DecodedAudio, decode
from app.core.audio.limits import DecodeLimits
from app.core.errors import ServiceError
from tests.recordings import encode_audio, mux_speech, speech

LIMITS = DecodeLimits()
SECONDS = 1.5
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "300000"}
BARE = {"write_xing": "0", "id3v2_version": "0"}
# None of these states its length.
UNANNOUNCED: dict[str, Callable[[], bytes]] = {
    "mp3 without a header": functools.partial(
        mux_speech, "mp3", "libmp3lame", rate=16000, seconds=SECONDS, options=BARE
    ),
    "aac": functools.partial(mux_speech, "adts", "aac", seconds=SECONDS),
    "loas": functools.partial(mux_speech, "latm", "aac", seconds=SECONDS),
    "ac3": functools.partial(mux_speech, "ac3", "ac3", seconds=SECONDS),
    "eac3": functools.partial(mux_speech, "eac3", "eac3", seconds=SECONDS),
    "amr": functools.partial(mux_speech, "amr", "libopencore_amrnb", rate=8000, bit_rate=12_200, seconds=SECONDS),
    "webm to a pipe": functools.partial(mux_speech, "webm", "libopus", seconds=SECONDS, pipe=True),
    "live webm": functools.partial(mux_speech, "webm", "libopus", seconds=SECONDS, options={"live": "1"}, pipe=True),
    "live matroska": functools.partial(mux_speech, "matroska", "ac3", seconds=SECONDS, pipe=True),
    "fragmented mp4": functools.partial(mux_speech, "mp4", "aac", seconds=SECONDS, options=FRAGMENTED),
    "ts": functools.partial(mux_speech, "mpegts", "aac", seconds=SECONDS),
    "ts of mp2": functools.partial(mux_speech, "mpegts", "mp2", seconds=SECONDS),
    "m2ts": functools.partial(mux_speech, "mpegts", "aac", seconds=SECONDS, options={"mpegts_m2ts_mode": "1"}),
    "mpeg": functools.partial(mux_speech, "mpeg", "mp2", seconds=SECONDS),
    "live wma": functools.partial(mux_speech, "asf", "wmav2", rate=44100, seconds=SECONDS, pipe=True),
    "flac to a pipe": functools.partial(mux_speech, "flac", "flac", rate=16000, seconds=SECONDS, pipe=True),
}


@pytest.mark.parametrize("name", UNANNOUNCED)
def test_a_cut_shows_where_no_length_is_announced(name: str) -> None:
    data = UNANNOUNCED[name]()
    whole = decode(data, LIMITS)
    assert whole.warnings == []
    cuts = np.random.default_rng(7).integers(len(data) // 4, len(data) - 40, size=12)
    outcomes = [outcome(data[:cut]) for cut in cuts]
    unnoticed = [
        cut
        for cut, audio in zip(cuts, outcomes, strict=True)
        if isinstance(audio, DecodedAudio) and not audio.unread and whole.seconds - audio.seconds > 0.03
    ]
    assert {error.code for error in outcomes if isinstance(error, ServiceError)} <= {"undecodable_audio"}
    # A cut may fall between two frames by chance.
    assert len(unnoticed) <= 1


def outcome(data: bytes) -> DecodedAudio | ServiceError:
    try:
        return decode(data, LIMITS)
    except ServiceError as error:
        return error


@pytest.mark.parametrize("name", ["ts", "ts of mp2"])
def test_a_transport_stream_cut_between_two_packets_shows_by_its_last_pes_packet(name: str) -> None:
    data = UNANNOUNCED[name]()
    found = [decode(data[: 188 * number], LIMITS).unread for number in range(60, len(data) // 188 - 1, 3)]
    # A PES packet has one or two frames here, in two transport packets: every other cut is within one.
    assert sum(bool(unread) for unread in found) > 0.3 * len(found)


def test_a_cut_sphere_file_is_refused_like_any_other_that_says_its_length() -> None:
    data = encode_audio(speech(), kind="NIST", subtype="PCM_16")
    assert decode(data, LIMITS).warnings == []
    with pytest.raises(ServiceError) as caught:
        decode(data[: len(data) // 2], LIMITS)
    assert caught.value.code == "undecodable_audio"
    assert decode(data[:-4000], LIMITS).unread


def test_little_that_is_missing_makes_the_recording_incomplete() -> None:
    data = encode_audio(speech(), subtype="PCM_16")
    assert decode(data, LIMITS).unread == []
    assert decode(data[:-8000], LIMITS).unread


def test_bytes_that_are_no_frames_within_a_stream_are_told_of() -> None:
    for kind, codec in (("mp3", "libmp3lame"), ("adts", "aac"), ("ac3", "ac3"), ("latm", "aac")):
        data = mux_speech(kind, codec, seconds=4)
        middle = len(data) // 2
        damaged = data[:middle] + np.random.default_rng(3).bytes(2000) + data[middle + 2000 :]
        audio = decode(damaged, LIMITS)
        assert any("damaged" in sentence for sentence in audio.unread)
        assert audio.seconds > 3


@pytest.mark.parametrize("seconds", [0.1, 0.35, 1.7])
def test_whole_files_of_any_length_are_complete(seconds: float) -> None:
    for kind, codec, rate in (
        ("mp3", "libmp3lame", 44100),
        ("adts", "aac", 16000),
        ("webm", "libopus", 48000),
        ("mpegts", "mp2", 48000),
        ("mpeg", "mp2", 48000),
        ("flv", "aac", 44100),
        ("matroska", "pcm_s16le", 48000),
    ):
        for pipe in (False, True):
            audio = decode(mux_speech(kind, codec, rate=rate, seconds=seconds, pipe=pipe), LIMITS)
            assert audio.warnings == [], (kind, codec, pipe)


@pytest.mark.parametrize(("kind", "codec"), [("mpegts", "aac"), ("mpegts", "mp2"), ("mpeg", "mp2"), ("vob", "ac3")])
def test_packets_lost_within_a_transport_stream_are_told_of(kind: str, codec: str) -> None:
    data = mux_speech(kind, codec, seconds=5)
    unit = 188 if kind == "mpegts" else 2048
    third, two_thirds = (len(data) * part // 3 // unit * unit for part in (1, 2))
    assert decode(data, LIMITS).warnings == []
    assert any("missing" in sentence for sentence in decode(data[:third] + data[two_thirds:], LIMITS).unread)
