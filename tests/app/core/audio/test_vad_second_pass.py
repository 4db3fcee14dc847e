"""The second pass finds faint speech, also between louder speech; unclear sounds are reported; noise is no speech."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from app.core.audio.vad import find_speech, speech_seconds
from app.core.audio.vad_first_pass import PieceDetection, detect_piece, piece_starts
from app.core.audio.vad_second_pass import (
    SpeechDetection,
    combine_passes,
    detect_amplified,
    uncertain_speech_warnings,
    undetected_sounds,
)
from tests.recordings import speech

RATE = 16_000
RNG = np.random.default_rng(11)
VOICE = speech() / np.abs(speech()).max()
FAR = np.concatenate(
    [speech("The eight hundred chairs come on the fourteenth of March, and we still owe three thousand pounds.", "rms")]
)


def decibel(level: float) -> np.float32:
    return np.float32(10 ** (level / 20))


def noise(count: int, level: float = -80) -> NDArray[np.float32]:
    return RNG.normal(0, decibel(level), count).astype(np.float32)


def telephone(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    spectrum, hertz = np.fft.rfft(samples), np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum[(hertz < 300) | (hertz > 3400)] = 0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


def listen(samples: NDArray[np.float32]) -> SpeechDetection:
    looks = [detect_piece(samples, start) for start in piece_starts(samples)]
    return combine_passes(
        looks, [detect_amplified(samples, one) for one in undetected_sounds(looks, len(samples) / RATE)]
    )


@pytest.mark.parametrize("level", [-30, -45, -55])
@pytest.mark.parametrize("hiss", [-90, -75])
def test_a_far_speaker_on_the_telephone_between_louder_speech_is_found(level: float, hiss: float) -> None:
    far = np.resize(telephone(FAR / np.abs(FAR).max()), 20 * RATE) * decibel(level)
    clip = np.concatenate([VOICE, far, VOICE])
    clip += noise(len(clip), hiss)
    start, end = len(VOICE) / RATE, (len(VOICE) + len(far)) / RATE
    inside = [(max(a, start), min(b, end)) for a, b in listen(clip).spans if b > start and a < end]
    assert speech_seconds(inside) > 0.8 * 20


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("level", [-58, -64])
def test_a_recording_that_is_faint_as_a_whole_is_heard(bits: int, level: float) -> None:
    steps = 2 ** (bits - 1)
    clip = (np.round(VOICE * decibel(level) * steps) / steps).astype(np.float32)
    listening = listen(clip)
    assert speech_seconds(listening.spans) > 0.8 * len(clip) / RATE
    if level < -60:  # the first pass finds nearly all louder speech
        assert any("after amplification" in warning for warning in listening.warnings)


def test_what_is_too_faint_to_tell_is_not_called_silence() -> None:
    clip = noise(10 * RATE, -70) * np.repeat(RNG.uniform(0.2, 2, 100), RATE // 10).astype(np.float32)
    listening = listen(clip)
    assert listening.spans == []
    assert any("very faint" in warning and "dBFS" in warning for warning in listening.warnings)
    assert listen(np.zeros(10 * RATE, np.float32)).warnings == []
    assert listen(np.full(10 * RATE, 0.2, np.float32)).warnings == [], "an offset is no sound"


TIME = np.arange(20 * RATE) / RATE
SOUNDS: dict[str, Callable[[], NDArray[np.floating]]] = {
    "chords": lambda: (
        sum(np.sin(2 * np.pi * hertz * TIME) * (np.sin(4 * np.pi * TIME + hertz) > 0) for hertz in (220, 277, 330, 440))
        / np.float32(8)
    ),
    "steps": lambda: RNG.normal(0, 0.05, len(TIME)) * (np.sin(3 * np.pi * TIME) > 0.9),
    "keys": lambda: np.convolve((RNG.random(len(TIME)) < 3e-4) * 0.5, np.exp(-np.arange(400) / 60), "same"),
    "swelling noise": lambda: RNG.normal(0, 0.1, len(TIME)) * (1 + np.sin(np.pi * TIME)),
    "hum that comes and goes": lambda: 0.3 * np.sin(100 * np.pi * TIME) * (np.sin(np.pi * TIME) > 0),
}


@pytest.mark.parametrize("name", SOUNDS)
@pytest.mark.parametrize("level", [0, -40])
def test_other_sounds_are_no_speech_in_the_second_pass_either(name: str, level: float) -> None:
    sound = SOUNDS[name]().astype(np.float32) * decibel(level)
    alone = listen(sound + noise(len(sound)))
    assert (alone.spans, alone.uncertain) == ([], [])
    between = listen(np.concatenate([VOICE, sound, VOICE]) + noise(len(sound) + 2 * len(VOICE)))
    assert speech_seconds(between.spans) < 2 * len(VOICE) / RATE + 1.5


@pytest.mark.parametrize("offset", [0.5, -0.9])
@pytest.mark.parametrize("level", [-6, -30])
def test_an_offset_hides_nothing(offset: float, level: float) -> None:
    clip = VOICE * decibel(level) * np.float32(0.2) + np.float32(offset)
    assert speech_seconds(find_speech(clip)) > 0.8 * len(clip) / RATE


@pytest.mark.parametrize("hertz", [5, 12, 20])
def test_a_rumble_hides_nothing(hertz: float) -> None:
    rumble = 0.7 * np.sin(2 * np.pi * hertz * np.arange(len(VOICE)) / RATE)
    clip = (VOICE * 0.1 + rumble).astype(np.float32)
    assert speech_seconds(find_speech(clip)) > 0.8 * len(clip) / RATE


def test_an_offset_that_drifts_or_jumps_hides_nothing() -> None:
    jump = np.where(np.arange(len(VOICE)) < len(VOICE) // 2, 0.6, -0.6)
    drift = np.linspace(-0.8, 0.8, len(VOICE))
    for offset in (jump, drift):
        clip = (VOICE * 0.05 + offset).astype(np.float32)
        assert speech_seconds(find_speech(clip)) > 0.8 * len(clip) / RATE


def test_stretches_left_out_are_those_with_sound() -> None:
    """The second pass gets no pauses and no speech that was found already, and no span longer than a piece."""
    levels = np.full(200 * 20, 1e-7, np.float32)
    for start, end in ((10, 12), (50, 150), (180, 180.1)):
        levels[int(start * 20) : int(end * 20)] = 1e-3
    left_out = undetected_sounds([PieceDetection([(9.5, 12.5), (60, 61)], levels)], 200)
    assert left_out == [(49.5, 60), (61, 121), (121, 150.5)]
    assert undetected_sounds([], 0) == []


def test_a_list_of_stretches_that_were_not_read_has_an_end() -> None:
    assert uncertain_speech_warnings([]) == []
    (warning,) = uncertain_speech_warnings([(float(n), n + 0.5) for n in range(100)])
    assert "50.0 s" in warning
    assert "and 95 more" in warning
    assert len(warning) < 300
