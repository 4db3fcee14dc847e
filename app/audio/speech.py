"""Where somebody speaks, and how many windows of the encoder a recording fills.

Silero VAD (v6, MIT) as bundled with faster-whisper, in ONNX on one thread; it needs neither torch nor an engine. It
hears speech down to peaks of -50 dBFS and none in silence, noise, hum or tones. Knows nothing about codecs, HTTP or
engines.
"""

import math

import numpy as np
from faster_whisper.vad import VadOptions, get_speech_timestamps
from numpy.typing import NDArray

from app.audio.limits import SAMPLE_RATE

WINDOW_S = 30.0
_MIN_SPEECH_MS = 250
_MIN_SILENCE_MS = 500
_PAD_MS = 200
# The detector takes all it is given at once, about 1 MB of working memory per second of audio.
_PIECE_S = 120

Segment = tuple[float, float]


def find_speech(samples: NDArray[np.float32]) -> list[Segment]:
    """Spans of speech (start, end) in seconds, in order and apart, of mono 16 kHz `samples` (n,).

    Takes about 4 ms a second of audio, mostly without the interpreter lock: run it in a thread. Memory does not grow
    with n.
    """
    options = VadOptions(
        min_speech_duration_ms=_MIN_SPEECH_MS, min_silence_duration_ms=_MIN_SILENCE_MS, speech_pad_ms=_PAD_MS
    )
    spans: list[Segment] = []
    piece = _PIECE_S * SAMPLE_RATE
    for offset in range(0, len(samples), piece):
        for found in get_speech_timestamps(samples[offset : offset + piece], options):
            start, end = (offset + found["start"]) / SAMPLE_RATE, (offset + found["end"]) / SAMPLE_RATE
            if spans and start - spans[-1][1] < _MIN_SILENCE_MS / 1000:
                start = spans.pop()[0]  # one utterance over the seam of two pieces
            spans.append((start, end))
    return spans


def speech_seconds(spans: list[Segment]) -> float:
    """Seconds of speech in what `find_speech` found."""
    return sum(end - start for start, end in spans)


def encoder_windows(seconds: float, window_s: float = WINDOW_S) -> int:
    """Encoder windows that so many seconds fill, the last one perhaps in part."""
    return math.ceil(round(seconds * SAMPLE_RATE) / (window_s * SAMPLE_RATE))
