"""Where a recording that is longer than one pass is cut: in its pauses, so that no word is.

`split_into_windows` covers all speech with windows of at most a given length and leaves out the silence between them;
times are the recording's own. Knows nothing about models.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.core.audio.limits import SAMPLE_RATE
from app.core.audio.samples import Samples
from app.core.audio.vad_first_pass import Span

# Where nobody pauses for as long as a window, it is cut at the quietest moment of its last seconds.
_SEARCH_S = 5.0
_FRAME_S = 0.05
# What peaks below -40 dBFS is amplified for the model, to -20 dBFS: models have heard little that is so faint.
_MAX_FAINT_PEAK = 0.01
_TARGET_PEAK = 0.1


@dataclass(frozen=True)
class Window:
    """A stretch of the recording, in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    def extract(self, samples: Samples) -> NDArray[np.float32]:
        """Its samples, as a model is to hear them: amplified where all of them are faint."""
        found = samples[round(self.start * SAMPLE_RATE) : round(self.end * SAMPLE_RATE)]
        peak = float(np.abs(found).max(initial=0.0))
        return found * np.float32(_TARGET_PEAK / peak) if 0 < peak < _MAX_FAINT_PEAK else found


def split_into_windows(spans: Sequence[Span], longest_s: float, samples: Samples) -> list[Window]:
    """Windows over all `spans` of speech (of `find_speech`), in order and apart, none longer than `longest_s`.

    They are of like length, as far as the pauses allow: a last window of two seconds would be understood by nobody.
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
    """Whether every second of the spans lies in a window. Both in order and apart."""
    ends = [window.end for window in windows]
    for start, end in spans:
        reached = start
        # From the first window that ends behind it: thousands of spans in hundreds of windows, on the event loop.
        for window in windows[bisect_right(ends, start) :]:
            if reached >= end - 1e-6 or window.start > reached + 1e-6:
                break
            reached = window.end
        if reached < end - 1e-6:
            return False
    return True


def _quietest_moment(samples: Samples, start: float, end: float) -> float:
    """The middle of the quietest 50 ms between two times, in seconds."""
    frame = round(_FRAME_S * SAMPLE_RATE)
    piece = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    frames = piece[: len(piece) // frame * frame].reshape(-1, frame)
    if not len(frames):
        return end
    quietest = int(np.argmin(np.square(frames, dtype=np.float64).mean(axis=1)))
    return start + (quietest + 0.5) * _FRAME_S
