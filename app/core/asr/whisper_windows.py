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
# The second text is taken if Whisper is as sure of it as of speech: measured are -0.32 to -0.46 where people speak and
# laugh, and -0.50 to -1.73 for noise, music, a crowd and reversed speech, of which those above -0.8 have a language
# probability below 0.6 and a probability of no speech above 0.65.
_MIN_LOG_PROBABILITY = -0.6
_MIN_LANGUAGE_PROBABILITY = 0.8
_MAX_NO_SPEECH = 0.6

Segments = tuple[TranscriptSegment, ...]


@dataclass(frozen=True)
class WhisperWindow:
    """What Whisper wrote of one window, which starts at `start` seconds of the recording. It has at least one segment."""

    start: float
    segments: Segments

    def circles(self, language_probability: float) -> bool:
        """Return whether its text repeats itself and is not what was said.

        language_probability: that of the transcript's language.
        """
        one = self.segments[0]
        return one.compression_ratio > MAX_COMPRESSION_RATIO and not is_trusted(one, language_probability)

    def split_at_loop(self) -> tuple[Segments, Segments]:
        """Return the segments before the one in which the text starts to say the same in a row, and the others."""
        start, _ = longest_repetition(" ".join(one.text for one in self.segments))
        read = 0
        for number, one in enumerate(self.segments):
            read += len(one.text) + 1
            if start < read:
                return self.segments[:number], self.segments[number:]
        raise AssertionError("a repetition starts in a segment")


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
    """Return whether the second text of a window that went round in circles is what was said.

    language_probability: that of the language in this window.
    """
    log_probability = mean_log_probability(segments)
    return (
        log_probability is not None
        and log_probability >= _MIN_LOG_PROBABILITY
        and language_probability >= _MIN_LANGUAGE_PROBABILITY
        and all(
            one.compression_ratio <= MAX_COMPRESSION_RATIO and one.no_speech_probability <= _MAX_NO_SPEECH
            for one in segments
        )
    )
