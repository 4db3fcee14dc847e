"""Splits a recording that is too long for one request to the model into windows, at pauses, so that no word is cut.

`split_into_windows` covers all speech with windows of at most a given length, and leaves out the silence between them.
Times are seconds of the recording. This module knows nothing about models.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.core.audio.limits import SAMPLE_RATE
from app.core.audio.samples import Samples
from app.core.audio.vad_first_pass import Span

# If there is no pause within a window, it is cut at the quietest moment of its last seconds.
_SEARCH_S = 5.0
_FRAME_S = 0.05
# A window that peaks below -40 dBFS is amplified to -20 dBFS: models were trained on little that is so faint.
_MAX_FAINT_PEAK = 0.01
_TARGET_PEAK = 0.1


@dataclass(frozen=True)
class Window:
    """A part of the recording, in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Length of the window in seconds."""
        return self.end - self.start

    def extract(self, samples: Samples) -> NDArray[np.float32]:
        """Return its samples for a model, float32, shape (n,): amplified if all of them are faint."""
        found = samples[round(self.start * SAMPLE_RATE) : round(self.end * SAMPLE_RATE)]
        peak = float(np.abs(found).max(initial=0.0))
        return found * np.float32(_TARGET_PEAK / peak) if 0 < peak < _MAX_FAINT_PEAK else found


def split_into_windows(spans: Sequence[Span], longest_s: float, samples: Samples) -> list[Window]:
    """Return windows that cover all spans of speech, in order, not overlapping, none longer than `longest_s` seconds.

    The windows have similar lengths, as far as the pauses allow: nobody would understand a last window of two seconds.
    """
    windows: list[Window] = []
    left = list(spans)
    while left:
        start, end = left[0][0], left[-1][1]
        parts = int(np.ceil((end - start) / longest_s - 1e-9))
        if parts <= 1:
            windows.append(Window(start, end))
            break
        aim = start + (end - start) / parts
        fits = [index for index, span in enumerate(left) if span[1] - start <= longest_s]
        if fits:
            last = min(fits, key=lambda index: abs(left[index][1] - aim))
            windows.append(Window(start, left[last][1]))
            left = left[last + 1 :]
            continue
        where = _quietest_moment(samples, start + max(longest_s - _SEARCH_S, longest_s / 2), start + longest_s)
        windows.append(Window(start, where))
        left[0] = (where, left[0][1])
    return windows


def covers(windows: Sequence[Window], spans: Sequence[Span]) -> bool:
    """Return whether the windows cover all spans. Both are in order and do not overlap."""
    ends = [window.end for window in windows]
    for start, end in spans:
        reached = start
        # Start at the first window that ends after the span starts: there may be thousands of spans and hundreds of
        # windows, and this runs on the event loop.
        for window in windows[bisect_right(ends, start) :]:
            if reached >= end - 1e-6 or window.start > reached + 1e-6:
                break
            reached = window.end
        if reached < end - 1e-6:
            return False
    return True


def _quietest_moment(samples: Samples, start: float, end: float) -> float:
    """Return the middle of the quietest 50 ms between two times, in seconds."""
    frame = round(_FRAME_S * SAMPLE_RATE)
    piece = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    frames = piece[: len(piece) // frame * frame].reshape(-1, frame)
    if not len(frames):
        return end
    quietest = int(np.argmin(np.square(frames, dtype=np.float64).mean(axis=1)))
    return start + (quietest + 0.5) * _FRAME_S
