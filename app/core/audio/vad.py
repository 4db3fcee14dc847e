"""Voice activity detection: where somebody speaks in a recording.

The first pass (`app.core.audio.vad_first_pass`) takes the recording piece by piece. The second pass
(`app.core.audio.vad_second_pass`) amplifies the sounds that the first pass did not take for speech. The service runs
both through `app.workers.speech_detector`. This module knows nothing about codecs, HTTP or engines.
"""

import math

from app.core.audio.limits import SAMPLE_RATE
from app.core.audio.samples import Samples
from app.core.audio.vad_first_pass import Span, detect_piece, piece_starts
from app.core.audio.vad_second_pass import combine_passes, detect_amplified, undetected_sounds

__all__ = [
    "MAX_JOINED_SPANS",
    "MIN_PAUSE_S",
    "WINDOW_S",
    "Span",
    "count_encoder_windows",
    "find_speech",
    "join_close_spans",
    "speech_seconds",
]

WINDOW_S = 30.0  # of Whisper's encoder
MIN_PAUSE_S = 0.3  # of silence; spans with a shorter pause between them are shown as one
MAX_JOINED_SPANS = 2000


def find_speech(samples: Samples) -> list[Span]:
    """Return the spans of speech in mono 16 kHz samples: (start, end) in seconds, in order, not overlapping.

    It works in the calling thread, and its memory does not grow with the length.
    """
    first_pass = [detect_piece(samples, start) for start in piece_starts(samples)]
    second_pass = [detect_amplified(samples, one) for one in undetected_sounds(first_pass, len(samples) / SAMPLE_RATE)]
    return combine_passes(first_pass, second_pass).spans


def speech_seconds(spans: list[Span]) -> float:
    """Return the total length of the spans."""
    return sum(end - start for start, end in spans)


def join_close_spans(spans: list[Span], pause_s: float = MIN_PAUSE_S) -> list[Span]:
    """Return at most `MAX_JOINED_SPANS` spans, to be shown to people: two that are less than `pause_s` seconds apart
    become one. While there are too many, that length is doubled.
    """
    joined: list[Span] = []
    for start, end in spans:
        if joined and start - joined[-1][1] < pause_s:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined if len(joined) <= MAX_JOINED_SPANS else join_close_spans(joined, 2 * pause_s)


def count_encoder_windows(seconds: float, window_s: float = WINDOW_S) -> int:
    """Return the number of encoder windows of `window_s` seconds that a recording fills, rounded up."""
    return math.ceil(round(seconds * SAMPLE_RATE) / (window_s * SAMPLE_RATE))
