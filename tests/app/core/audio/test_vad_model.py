"""The detector's network and its spans are those of faster-whisper, which runs it in another way."""

from collections.abc import Callable

import numpy as np
import pytest
from faster_whisper.vad import VadOptions, get_speech_timestamps, get_vad_model
from numpy.typing import NDArray

from app.core.audio.vad_model import WINDOW_SAMPLES, spans_above, speech_probabilities
from tests.app.core.audio.test_vad import NOT_SPEECH
from tests.recordings import librivox_speech, speech

Samples = NDArray[np.float32]
THRESHOLDS = (0.5, 0.3)
NOISE = np.random.default_rng(0).normal(0, 0.015, 60 * 16000).astype(np.float32)

PIECES: dict[str, Callable[[], Samples]] = {
    "people": librivox_speech,
    "a minute, longer than a block": lambda: np.resize(librivox_speech(), 60 * 16000),
    "people in noise": lambda: librivox_speech() * 0.05 + NOISE[: len(librivox_speech())],
    "faint people": lambda: librivox_speech() * np.float32(0.002),
    "a telephone's noise and a pause": lambda: np.concatenate([speech(), NOISE[: 5 * 16000], speech(voice="kal")]),
    "espeak": lambda: speech(voice="espeak"),
    "whole windows": lambda: speech()[: 100 * WINDOW_SAMPLES],
    "one sample less": lambda: speech()[: 100 * WINDOW_SAMPLES - 1],
    "one sample": lambda: speech()[:1],
    "nothing": lambda: speech()[:0],
    **{f"no speech: {name}": (lambda make=make: make().astype(np.float32)) for name, make in NOT_SPEECH.items()},
}


def original_spans(piece: Samples, threshold: float) -> list[tuple[int, int]]:
    options = VadOptions(
        threshold=threshold, min_speech_duration_ms=250, min_silence_duration_ms=500, speech_pad_ms=200
    )
    return [(one["start"], one["end"]) for one in get_speech_timestamps(piece, options)]


@pytest.mark.parametrize("name", PIECES)
def test_probabilities_and_spans_are_the_originals(name: str) -> None:
    piece = PIECES[name]()
    probabilities = speech_probabilities(piece)
    original = get_vad_model()(np.pad(piece, (0, WINDOW_SAMPLES - len(piece) % WINDOW_SAMPLES)))
    np.testing.assert_allclose(probabilities, original, atol=1e-4)
    for threshold in THRESHOLDS:
        assert spans_above(probabilities, threshold, len(piece)) == original_spans(piece, threshold)


def test_the_pieces_show_something() -> None:
    """Otherwise the comparison would be one of nothing with nothing."""
    assert len(original_spans(PIECES["a minute, longer than a block"](), 0.5)) > 2
    assert not original_spans(PIECES["no speech: 50 Hz hum"](), 0.5)


@pytest.mark.parametrize("seed", range(20))
def test_spans_of_any_probabilities_are_the_originals(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 400))
    # Stretches of speech and silence of all lengths, around both thresholds.
    levels = np.repeat(rng.random(count), rng.integers(1, 30, count))[:count]
    probabilities = np.clip(levels + rng.normal(0, 0.1, count), 0, 1).astype(np.float32)
    monkeypatch.setattr("faster_whisper.vad.get_vad_model", lambda: lambda _: probabilities)
    length = count * WINDOW_SAMPLES - int(rng.integers(1, WINDOW_SAMPLES + 1))
    piece = np.zeros(length, np.float32)
    for threshold in THRESHOLDS:
        assert spans_above(probabilities, threshold, length) == original_spans(piece, threshold)
