"""What Whisper wrote of each of its windows of 30 s, whether it goes round in circles, and where the circles start.

The segments of a window share its figures. This module knows faster-whisper's segments and not its models.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from app.core.asr.repetition import (
    MAX_COMPRESSION_RATIO,
    compression_ratio,
    is_trusted,
    longest_repetition,
    repeated_share,
)
from app.core.asr.transcript import TranscriptSegment, mean_log_probability

# faster-whisper gives the start of a window in frames of 10 ms.
_FRAMES_PER_SECOND = 100
# What is decoded again of a window that went round in circles is taken if Whisper is as sure of it as of speech.
# Measured were -0.33 to -0.62 where people speak and laugh. Noise, music, crowds, reversed speech and languages that
# the model does not know had -0.80 and less, but for two noises read as numbers (-0.50 and -0.63, with a language
# probability below 0.6) and two texts that still repeated themselves (-0.64 and -0.74).
_MIN_LOG_PROBABILITY = -0.7
_MIN_LANGUAGE_PROBABILITY = 0.8

Segments = tuple[TranscriptSegment, ...]


@dataclass(frozen=True)
class WhisperWindow:
    """What Whisper wrote of one window, in at least one segment. It starts at `start` seconds of the recording."""

    start: float
    segments: Segments

    def circles(self, language_probability: float) -> bool:
        """Return whether its text repeats itself and is not what was said.

        language_probability: that of the transcript's language.
        """
        one = self.segments[0]
        return one.compression_ratio > MAX_COMPRESSION_RATIO and not is_trusted(one, language_probability)

    def split_at_loop(self) -> tuple[Segments, Segments]:
        """Return the segments before the one in which the text starts to say the same in a row, and the others.

        The first are empty if the loop starts at once, or if the text repeats itself in no clear way.
        """
        loop_start, loop_end = longest_repetition(" ".join(one.text for one in self.segments))
        start = 0
        for number, one in enumerate(self.segments):
            end = start + len(one.text)
            # A full stop before the loop may belong to the same stretch of letters.
            if min(end, loop_end) - max(start, loop_start) > len(one.text) / 2:
                return self.segments[:number], self.segments[number:]
            start = end + 1
        return (), self.segments


def group_by_window(segments: Iterable[Any], offset: float = 0.0) -> list[WhisperWindow]:
    """Convert faster-whisper's segments. offset: seconds that are added to all times."""
    windows = []
    for seek, group in groupby(segments, key=lambda one: int(one.seek)):
        parts = list(group)
        text = "".join(one.text for one in parts)
        ratio = compression_ratio(text)
        # The share takes longer, and is only asked of texts that repeat themselves.
        share = repeated_share(text) if ratio > MAX_COMPRESSION_RATIO else 0.0
        found = tuple(
            TranscriptSegment(
                start=offset + float(one.start),
                end=offset + float(one.end),
                text=one.text.strip(),
                log_probability=float(one.avg_logprob),
                compression_ratio=ratio,
                no_speech_probability=float(one.no_speech_prob),
                repeated_share=share,
            )
            for one in parts
        )
        windows.append(WhisperWindow(offset + seek / _FRAMES_PER_SECOND, found))
    return windows


def join_windows(windows: Iterable[WhisperWindow]) -> Segments:
    """Return the segments of all windows."""
    return tuple(one for window in windows for one in window.segments)


def is_surely_speech(segments: Sequence[TranscriptSegment], language_probability: float) -> bool:
    """Return whether what was decoded again of a window that went round in circles is what was said.

    language_probability: that of the language in what was decoded again.
    """
    log_probability = mean_log_probability(segments)
    return (
        log_probability is not None
        and log_probability >= _MIN_LOG_PROBABILITY
        and language_probability >= _MIN_LANGUAGE_PROBABILITY
        and all(one.compression_ratio <= MAX_COMPRESSION_RATIO for one in segments)
    )
