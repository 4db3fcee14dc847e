"""Speech in opposite phase is not lost in the mix, and everything else is averaged as usual, without clicks."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.core.audio.decode import decode
from app.core.audio.downmix import Downmixer
from app.core.audio.limits import DecodeLimits
from app.core.audio.sample_sink import SampleSink
from app.core.audio.vad import find_speech, speech_seconds
from tests.recordings import encode_audio, speech

VOICE = speech()
OTHER = np.resize(speech(voice="rms"), len(VOICE)).astype(np.float32)
QUIET = np.zeros_like(VOICE)
NOISE = np.random.default_rng(3).normal(0, 0.01, len(VOICE)).astype(np.float32)
TIME = np.arange(len(VOICE)) / 16_000


def mixed(*channels: NDArray[np.floating], rate: int = 16_000, block: int = 4096) -> NDArray[np.float32]:
    sink = SampleSink(DecodeLimits(max_channels=8))
    frames = np.stack(channels, axis=1).astype(np.float32)
    for start in range(0, len(frames), block):
        sink.write(frames[start : start + block], rate)
    sink.finish()
    return sink.samples()


def likeness(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the similarity of two signals, whatever their level and polarity; 1 is the same."""
    return float(abs(np.dot(one, other)) / np.sqrt(np.dot(one, one) * np.dot(other, other)))


def loudness(samples: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


LOST = {
    "the same, inverted": [VOICE, -VOICE],
    "inverted and louder": [VOICE * 0.3, -VOICE],
    "inverted with noise of their own": [VOICE + NOISE, -VOICE + NOISE[::-1]],
    "an offset in both": [VOICE + 0.4, -VOICE + 0.4],
    "hum in both": [VOICE + 0.3 * np.sin(2 * np.pi * 50 * TIME), -VOICE + 0.3 * np.sin(2 * np.pi * 50 * TIME)],
    "a pair of six": [QUIET, QUIET, VOICE, QUIET, -VOICE, QUIET],
    "half of eight": [VOICE, -VOICE] * 4,
    "one of three against two": [VOICE * 0.5, VOICE * 0.5, -VOICE],
}


@pytest.mark.parametrize("name", LOST)
@pytest.mark.parametrize("block", [700, 4096, 1 << 20])
def test_what_the_mean_would_cancel_is_kept(name: str, block: int) -> None:
    channels = LOST[name]
    found = mixed(*channels, block=block)
    assert len(found) == len(VOICE)
    if "noise" in name:
        assert likeness(found, VOICE) > 0.95
    else:
        assert likeness(np.diff(found), np.diff(VOICE)) > 0.95
    assert loudness(np.diff(found)) > 0.3 * max(loudness(np.diff(one)) for one in channels) / len(channels)


def test_noise_that_nobody_hears_does_not_decide() -> None:
    voice = speech(rate=96_000)
    high = np.diff(np.random.default_rng(5).normal(0, 0.003, (len(voice) + 4, 2)), n=4, axis=0)
    found = mixed(voice + high[:, 0], -voice + high[:, 1], rate=96_000)
    assert loudness(found) > 0.9 * loudness(VOICE)


def test_only_a_part_in_opposite_phase() -> None:
    second = VOICE.copy()
    second[20_000:50_000] *= -1
    found = mixed(VOICE, second)
    np.testing.assert_allclose(found[:19_000], VOICE[:19_000], atol=1e-6)
    assert loudness(found[24_000:50_000]) > 0.9 * loudness(VOICE[24_000:50_000])
    assert loudness(found[55_000:]) > 0.9 * loudness(VOICE[55_000:])


ORDINARY = {
    "the same twice": [VOICE, VOICE],
    "one channel is dead": [VOICE, QUIET],
    "two speakers apart": [VOICE, OTHER],
    "wide": [VOICE + 0.3 * OTHER, VOICE - 0.3 * OTHER],
    "noise of their own": [VOICE + NOISE, VOICE + NOISE[::-1]],
    "six": [VOICE, VOICE, OTHER, QUIET, NOISE, NOISE[::-1]],
    "silence": [QUIET, QUIET],
}


@pytest.mark.parametrize("name", ORDINARY)
def test_everything_else_is_averaged(name: str) -> None:
    found = mixed(*ORDINARY[name])
    mean = np.mean(ORDINARY[name], axis=0)
    assert len(found) == len(mean)
    if name in ("two speakers apart", "six"):  # their correlation is sometimes below zero
        for voice in (VOICE, OTHER):
            assert abs(np.dot(found, voice) / np.dot(voice, voice)) > 0.8 * abs(
                np.dot(mean, voice) / np.dot(voice, voice)
            )
        assert loudness(found) == pytest.approx(loudness(mean), rel=0.2)
    else:
        np.testing.assert_allclose(found, mean, atol=1e-6)


def test_a_change_does_not_click() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 200 * TIME)).astype(np.float32)
    second = np.where(TIME < 2, tone, -tone)
    found = mixed(tone, second)
    assert np.abs(np.diff(found)).max() < 3 * np.abs(np.diff(tone)).max()


def test_nothing_is_lost_at_the_end_nor_where_the_channels_change() -> None:
    sink = SampleSink(DecodeLimits())
    for block in (
        np.stack([VOICE, -VOICE], axis=1)[:1001],
        VOICE[1001:2003, None],
        np.stack([VOICE] * 3, axis=1)[2003:3000],
    ):
        sink.write(np.ascontiguousarray(block), 16_000)
    sink.write_silence(0.1)
    sink.finish()
    assert sink.sample_count == 3000 + 1600
    np.testing.assert_allclose(np.abs(sink.samples()[:3000]), np.abs(VOICE[:3000]), atol=1e-3)


@pytest.mark.parametrize(("rate", "kind"), [(48_000, "FLAC"), (8_000, "WAV"), (44_100, "OGG")])
def test_a_file_in_opposite_phase_is_heard_and_its_caller_told(rate: int, kind: str) -> None:
    voice = speech(rate=rate)
    audio = decode(encode_audio(np.stack([voice, -voice], axis=1), rate, kind), DecodeLimits())
    assert speech_seconds(find_speech(audio.samples)) > 4
    assert any("opposite phase" in warning for warning in audio.warnings)


def test_an_ordinary_stereo_file_is_told_nothing_about() -> None:
    for channels in ORDINARY.values():
        assert decode(encode_audio(np.stack(channels, axis=1)), DecodeLimits()).warnings == []


def test_a_mixer_of_one_channel_changes_nothing() -> None:
    mixer = Downmixer(1, 16_000)
    assert mixer.mix(VOICE[:, None]) is not None
    np.testing.assert_array_equal(mixer.mix(VOICE[:, None]), VOICE)
    assert len(mixer.flush()) == 0
