"""Where somebody speaks, and how many windows of the encoder a recording fills.

Silero VAD (v6, MIT) as bundled with faster-whisper, in ONNX, a piece a thread; it needs neither torch nor an engine. It
hears speech down to peaks of -50 dBFS and none in silence, noise, hum or tones. Knows nothing about codecs, HTTP or
engines.
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from faster_whisper.vad import VadOptions, get_speech_timestamps

from app.audio.limits import SAMPLE_RATE
from app.audio.samples import Samples

WINDOW_S = 30.0
_MIN_SPEECH_MS = 250
_MIN_SILENCE_MS = 500
_PAD_MS = 200
# The detector takes all it is given at once, about 1 MB of working memory per second of audio.
_PIECE_S = 60
_MOST_THREADS = 4
_OPTIONS = VadOptions(
    min_speech_duration_ms=_MIN_SPEECH_MS, min_silence_duration_ms=_MIN_SILENCE_MS, speech_pad_ms=_PAD_MS
)

Segment = tuple[float, float]


def find_speech(samples: Samples, left: Event | None = None) -> list[Segment]:
    """Spans of speech (start, end) in seconds, in order and apart, of mono 16 kHz `samples`.

    Takes about 4 ms a second of audio and core: pieces are looked at side by side, in as many threads as there are
    cores, mostly without the interpreter lock. Run it in a thread of its own. Memory does not grow with the length.
    left: when it is set, nobody waits any more, and what is found is nothing.
    """
    spans: list[Segment] = []
    piece = _PIECE_S * SAMPLE_RATE

    def look(offset: int) -> list[Segment]:
        if left is not None and left.is_set():
            return []
        found = get_speech_timestamps(samples[offset : offset + piece], _OPTIONS)
        return [((offset + one["start"]) / SAMPLE_RATE, (offset + one["end"]) / SAMPLE_RATE) for one in found]

    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        for found in pool.map(look, range(0, len(samples), piece)):
            for start, end in found:
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
