"""Decoded audio has the length and waveform of the source in every container; other files are refused with a reason."""

import io
import time

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from app.core.audio.decode import DecodedAudio, decode
from app.core.audio.limits import DecodeLimits
from app.core.errors import ServiceError, TooLarge, Unprocessable
from tests import recordings
from tests.recordings import encode_audio, speech

LIMITS = DecodeLimits()


def likeness(decoded: NDArray[np.float32], original: NDArray[np.float32]) -> float:
    """Return the correlation at the best alignment within 0.1 s."""
    size = 1 << (len(original) + len(decoded)).bit_length()
    product = np.fft.irfft(np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(original, size)))
    best = max(product[:1600].max(), product[-1600:].max())
    return float(best / (np.linalg.norm(decoded) * np.linalg.norm(original)))


# AMR keeps what is below 4 kHz, as a telephone does.
LIKENESS = {"amr": 0.7}


def refused(data: bytes, limits: DecodeLimits = LIMITS) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        decode(data, limits)
    return caught.value


@pytest.mark.parametrize("name", recordings.all_formats())
def test_every_format_keeps_length_and_waveform(name: str) -> None:
    make, found, tolerance = recordings.all_formats()[name]
    audio = decode(make(), LIMITS)
    assert audio.source_format == found
    assert audio.samples.dtype == np.float32
    assert audio.samples.ndim == 1
    assert audio.seconds == len(audio.samples) / 16000
    assert audio.seconds == pytest.approx(len(speech()) / 16000, abs=tolerance)
    assert likeness(audio.samples, speech()) > LIKENESS.get(name, 0.9 if tolerance > 0.001 else 0.99)
    assert not [warning for warning in audio.warnings if "missing" in warning or "damaged" in warning]


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
def test_any_rate_becomes_16_khz(rate: int) -> None:
    audio = decode(encode_audio(speech(rate=rate), rate), LIMITS)
    assert (audio.source_rate, audio.source_channels) == (rate, 1)
    assert audio.seconds == pytest.approx(len(speech()) / 16000, abs=0.002)
    assert likeness(audio.samples, speech()) > 0.9


def test_channels_are_averaged() -> None:
    both = np.stack([speech(), np.zeros_like(speech())], axis=1)
    audio = decode(encode_audio(both, subtype="FLOAT"), LIMITS)
    assert audio.source_channels == 2
    np.testing.assert_allclose(audio.samples, speech() / 2, atol=1e-6)


def test_eight_channels_are_accepted() -> None:
    audio = decode(recordings.channels_wav(8), LIMITS)
    assert audio.source_channels == 8
    np.testing.assert_allclose(audio.samples, speech(), atol=1e-4)


def test_float_samples_beyond_full_scale_are_scaled_with_a_warning() -> None:
    audio = decode(encode_audio(speech() * 40, subtype="FLOAT"), LIMITS)
    assert np.abs(audio.samples).max() == pytest.approx(1)
    assert likeness(audio.samples, speech()) > 0.9999
    assert any("scaled" in warning for warning in audio.warnings)


def test_the_broken_files_each_get_their_status_and_code() -> None:
    found = {}
    for name, (data, _, _) in recordings.broken_files().items():
        error = refused(data)
        found[name] = (error.status, error.code)
        assert error.param == "file"
        assert error.message.endswith(".")
    assert found == {name: (status, code) for name, (_, status, code) in recordings.broken_files().items()}


@pytest.mark.parametrize(
    ("limits", "data", "status", "code", "setting"),
    [
        (DecodeLimits(max_bytes=100), recordings.speech_wav, 413, "upload_too_large", "MAX_BYTES"),
        (DecodeLimits(max_seconds=2), recordings.speech_wav, 413, "audio_too_long", "MAX_SECONDS"),
        (DecodeLimits(max_samples=999), recordings.speech_wav, 413, "too_many_samples", "MAX_SAMPLES"),
        (LIMITS, lambda: recordings.channels_wav(9), 422, "too_many_channels", "MAX_CHANNELS"),
        (LIMITS, lambda: recordings.rate_wav(655_350), 422, "unsupported_sample_rate", "MAX_SOURCE_RATE"),
        (LIMITS, lambda: recordings.speech_wav()[:50_000], 422, "undecodable_audio", "MAX_MISSING_SECONDS"),
    ],
)
def test_a_refusal_names_the_setting_that_moves_its_limit(limits, data, status, code, setting) -> None:  # type: ignore[no-untyped-def]
    error = refused(data(), limits)
    assert (error.status, error.code) == (status, code)
    assert f"SPEECHSUM_AUDIO__{setting}" in error.message


def test_a_limit_may_be_moved_by_a_setting_of_another_name() -> None:
    error = refused(recordings.speech_wav(), DecodeLimits(max_seconds=2, setting_names={"max_seconds": "FOO"}))
    assert "FOO" in error.message
    assert "AUDIO__" not in error.message


def test_too_long_says_how_long() -> None:
    error = refused(recordings.speech_wav(), DecodeLimits(max_seconds=2))
    assert isinstance(error, TooLarge)
    assert f"{len(speech()) / 16000:.1f} s" in error.message
    assert "2.0 s" in error.message


def test_an_hour_of_opus_in_3_mb_is_refused_at_once() -> None:
    data = recordings.opus_minutes(60)
    assert len(data) < 3_500_000
    start = time.process_time()
    error = refused(data, DecodeLimits(max_seconds=300))
    assert time.process_time() - start < 2
    assert (error.status, error.code) == (413, "audio_too_long")
    assert "3,6" in error.message


def test_a_stream_that_announces_no_length_stops_where_the_limit_is() -> None:
    buffer = io.BytesIO()
    adts = recordings.mux_speech("adts", "aac")
    buffer.write(adts * 200)  # a stream of frames without a header
    start = time.process_time()
    error = refused(buffer.getvalue(), DecodeLimits(max_seconds=20))
    assert time.process_time() - start < 2
    assert error.code == "audio_too_long"
    assert "goes on" in error.message


def test_joined_mp3_and_ogg_files_are_read_to_their_end() -> None:
    for data in (encode_audio(speech(), kind="MP3"), encode_audio(speech(), kind="OGG", subtype="VORBIS")):
        once, twice = decode(data, LIMITS), decode(data * 2, LIMITS)
        assert twice.seconds == pytest.approx(2 * once.seconds, abs=0.2)


def test_a_wav_written_to_a_pipe_is_read_to_its_end() -> None:
    for size in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"):
        data = bytearray(recordings.speech_wav())
        data[4:8] = data[40:44] = size
        audio = decode(bytes(data), LIMITS)
        assert audio.seconds == pytest.approx(len(speech()) / 16000, abs=0.01)
        assert audio.warnings == []


@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC"])
def test_little_missing_is_a_warning_and_much_a_refusal(kind: str) -> None:
    data = encode_audio(speech(), kind=kind, subtype="PCM_16")
    tail = data[: int(len(data) * (1 - 0.25 / (len(speech()) / 16000)))]
    audio = decode(tail, LIMITS)
    assert any("missing" in warning or "damaged" in warning for warning in audio.warnings)
    assert refused(data[: len(data) // 2]).code == "undecodable_audio"
    assert refused(tail, DecodeLimits(max_missing_seconds=0.1)).code == "undecodable_audio"


def test_silence_that_webm_does_not_store_keeps_its_time() -> None:
    source, target = io.BytesIO(recordings.mux_speech("webm", "libopus")), io.BytesIO()
    with av.open(source) as whole, av.open(target, "w", format="webm") as gapped:
        track = gapped.add_stream_from_template(whole.streams.audio[0])
        for packet in whole.demux(whole.streams.audio[0]):
            if packet.pts is None or 1.0 < float(packet.pts * packet.time_base) < 2.0:
                continue
            packet.stream = track
            gapped.mux(packet)
    audio = decode(target.getvalue(), LIMITS)
    assert audio.seconds == pytest.approx(len(speech()) / 16000, abs=0.05)
    assert any("taken as silence" in warning for warning in audio.warnings)
    assert np.abs(audio.samples[int(1.3 * 16000) : int(1.8 * 16000)]).max() == 0


def test_a_playlist_cannot_reach_other_files(tmp_path) -> None:  # type: ignore[no-untyped-def]
    secret = tmp_path / "secret.wav"
    secret.write_bytes(recordings.speech_wav())
    assert refused(f"ffconcat version 1.0\nfile {secret}\n".encode()).status == 415


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "m4a"])
def test_mutations_give_audio_or_a_service_error_and_nothing_else(kind: str) -> None:
    clip = speech()[:16000]
    whole = {
        "wav": lambda: encode_audio(clip),
        "flac": lambda: encode_audio(clip, kind="FLAC"),
        "ogg": lambda: encode_audio(clip, kind="OGG", subtype="OPUS"),
        "m4a": lambda: recordings.mux_speech("ipod", "aac", seconds=1),
    }[kind]()
    outcomes: list[DecodedAudio | ServiceError] = []
    for seed in range(300):
        try:
            outcomes.append(decode(mutate(whole, seed), LIMITS))
        except ServiceError as error:
            outcomes.append(error)
    assert {outcome.status for outcome in outcomes if isinstance(outcome, ServiceError)} <= {400, 413, 415, 422}
    audio = [outcome for outcome in outcomes if isinstance(outcome, DecodedAudio)]
    assert len(audio) < 300
    for outcome in audio:
        assert np.isfinite(outcome.samples).all()
        assert np.abs(outcome.samples).max() <= 1 + 1e-6


def mutate(whole: bytes, seed: int) -> bytes:
    """Return a file with some bytes changed, its header changed, its end cut off, or a span replaced or removed."""
    random = np.random.default_rng(seed)
    data = bytearray(whole)
    match seed % 4:
        case 0:
            for position in random.integers(len(data), size=10):
                data[position] = random.integers(256)
        case 1:
            for position in random.integers(min(200, len(data)), size=4):
                data[position] = random.integers(256)
        case 2:
            del data[random.integers(len(data)) :]
        case _:
            start, size = random.integers(len(data)), random.integers(1, 500)
            data[start : start + size] = random.bytes(size) if seed % 8 == 3 else b""
    return bytes(data)


def test_a_file_that_lies_about_its_size_is_not_believed() -> None:
    data = bytearray(recordings.encode_audio(speech(), kind="FLAC"))
    data[21] |= 0x0F  # total samples: 36 bits in STREAMINFO
    data[22:26] = b"\xff\xff\xff\xff"
    error = refused(bytes(data))
    assert isinstance(error, TooLarge | Unprocessable)
