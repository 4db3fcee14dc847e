"""Where somebody speaks, and how many windows of the encoder a recording fills.

A recording is looked at in pieces (`app.core.audio.vad_first_pass`), and what they leave out, where it holds sound,
once more (`app.core.audio.vad_second_pass`). The service does both through `app.workers.speech_detector`. Knows nothing
about codecs, HTTP or engines.
"""

import math

from app.core.audio.limits import SAMPLE_RATE
from app.core.audio.samples import Samples
from app.core.audio.vad_first_pass import Span, detect_piece, piece_starts
from app.core.audio.vad_second_pass import combine_passes, detect_amplified, undetected_sounds

__all__ = ["WINDOW_S", "Span", "count_encoder_windows", "find_speech", "speech_seconds"]

WINDOW_S = 30.0


def find_speech(samples: Samples) -> list[Span]:
    """Spans of speech (start, end) in seconds, in order and apart, of mono 16 kHz `samples`: all of it in the calling
    thread. Memory does not grow with the length.
    """
    looks = [detect_piece(samples, start) for start in piece_starts(samples)]
    again = [detect_amplified(samples, one) for one in undetected_sounds(looks, len(samples) / SAMPLE_RATE)]
    return combine_passes(looks, again).spans


def speech_seconds(spans: list[Span]) -> float:
    """Seconds of speech in what was found."""
    return sum(end - start for start, end in spans)


def count_encoder_windows(seconds: float, window_s: float = WINDOW_S) -> int:
    """Encoder windows that so many seconds fill, the last one perhaps in part."""
    return math.ceil(round(seconds * SAMPLE_RATE) / (window_s * SAMPLE_RATE))
