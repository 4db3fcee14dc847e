"""Speech is found, also faint speech; silence, noise, hum and tones are not taken for it."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.core.audio.vad import MAX_JOINED_SPANS, count_encoder_windows, find_speech, join_close_spans, speech_seconds
from tests.recordings import speech

SECONDS = np.arange(10 * 16000) / 16000
RNG = np.random.default_rng(7)


def coloured(power: float) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(RNG.normal(size=len(SECONDS)))
    noise = np.fft.irfft(spectrum / np.maximum(np.fft.rfftfreq(len(SECONDS), 1 / 16000), 20) ** power)
    return np.asarray(noise / np.abs(noise).max())


NOT_SPEECH: dict[str, Callable[[], NDArray[np.float64]]] = {
    "digital silence": lambda: np.zeros(len(SECONDS)),
    "loud white noise": lambda: RNG.normal(size=len(SECONDS)) * 0.2,
    "room noise": lambda: coloured(0.5) * 0.003,
    "rumble": lambda: coloured(1.0) * 0.5,
    "50 Hz hum": lambda: np.sum([0.2 / k * np.sin(2 * np.pi * 50 * k * SECONDS) for k in range(1, 12)], axis=0),
    "440 Hz tone": lambda: 0.5 * np.sin(2 * np.pi * 440 * SECONDS),
    "ringing": lambda: (
        0.4 * (np.sin(2 * np.pi * 440 * SECONDS) + np.sin(2 * np.pi * 480 * SECONDS)) * (SECONDS % 6 < 2)
    ),
    "sweep": lambda: 0.5 * np.sin(2 * np.pi * (100 + 200 * SECONDS) * SECONDS),
    "clicks": lambda: (RNG.random(len(SECONDS)) < 0.0002) * 0.8,
}


@pytest.mark.parametrize("name", NOT_SPEECH)
def test_no_speech(name: str) -> None:
    assert find_speech(NOT_SPEECH[name]().astype(np.float32)) == []


@pytest.mark.parametrize("voice", ["slt", "kal", "rms", "espeak"])
@pytest.mark.parametrize("peak_dbfs", [0, -35])
def test_speech_is_heard_also_when_faint(voice: str, peak_dbfs: float) -> None:
    clip = speech(voice=voice)
    clip = clip / np.abs(clip).max() * np.float32(10 ** (peak_dbfs / 20))
    assert speech_seconds(find_speech(clip)) > 0.6 * len(clip) / 16000


def test_where_it_is_said() -> None:
    clip = np.concatenate([np.zeros(5 * 16000, np.float32), speech(), np.zeros(5 * 16000, np.float32)])
    spans = find_speech(clip)
    assert spans[0][0] == pytest.approx(5, abs=0.5)
    assert spans[-1][1] == pytest.approx(5 + len(speech()) / 16000, abs=0.7)


def test_long_recordings_are_heard_over_the_seams_and_spans_stay_in_order() -> None:
    clip = np.zeros(250 * 16000, np.float32)
    for start in (10, 117, 236):  # speech from 117 s crosses the boundary of two pieces
        clip[start * 16000 : start * 16000 + len(speech())] = speech()
    spans = find_speech(clip)
    assert all(a < b for a, b in spans)
    assert all(first[1] < second[0] for first, second in itertools.pairwise(spans))
    assert any(start < 119 and end > 121 for start, end in spans)
    assert {10, 117, 236} == {start for start in (10, 117, 236) if any(a - 1 < start + 1 < b for a, b in spans)}


@pytest.mark.parametrize(("samples", "count"), [(0, 0), (1, 1), (480_000, 1), (480_001, 2), (16000 * 300, 10)])
def test_windows(samples: int, count: int) -> None:
    assert count_encoder_windows(samples / 16_000) == count


def test_empty_audio_has_no_speech() -> None:
    assert find_speech(np.zeros(0, np.float32)) == []


def test_listening_needs_neither_torch_nor_an_engine() -> None:
    code = (
        "import sys, app.workers.speech_detector, app.workers.decoder_pool; "
        "print(sorted({'torch', 'vllm', 'fastapi'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_nothing_is_reported_to_anybody(tmp_path: Path) -> None:
    """onnxruntime keeps its telemetry session in a temporary file; only in CI environments it does not."""
    kept = {name: value for name, value in os.environ.items() if name != "CI" and "TELEMETRY" not in name}
    look = "import numpy; from app.core.audio.vad import find_speech; find_speech(numpy.zeros(16000, numpy.float32))"
    subprocess.run([sys.executable, "-c", look], env=kept | {"TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []


def test_spans_with_a_short_pause_between_them_are_shown_as_one() -> None:
    assert join_close_spans([(0.0, 1.0), (1.2, 2.0), (2.5, 3.0)]) == [(0.0, 2.0), (2.5, 3.0)]
    assert join_close_spans([]) == []
    many = join_close_spans([(float(start), start + 0.5) for start in range(2 * MAX_JOINED_SPANS)])
    assert len(many) <= MAX_JOINED_SPANS
    assert (many[0][0], many[-1][1]) == (0.0, 2 * MAX_JOINED_SPANS - 0.5)


def test_silence_between_two_clips_is_no_speech() -> None:
    clip = speech()
    silence = np.zeros(10 * 16_000, np.float32)
    spans = join_close_spans(find_speech(np.concatenate([clip, silence, clip])))
    seconds = len(clip) / 16_000
    assert all(end < seconds + 1 or start > seconds + 9 for start, end in spans)
    assert spans[0][0] < 2
    assert spans[-1][0] > seconds + 9
