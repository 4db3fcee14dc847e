"""Measures how the time of training steps is shared among their parts, for the lines of the log.

Knows nothing about what the parts do.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class StageClock:
    """Adds up the seconds of named parts. On a GPU a part ends when its kernels have ended."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Count the time of the block as this part's."""
        started_at = _synchronized_time()
        try:
            yield
        finally:
            self._seconds[part] += _synchronized_time() - started_at

    def take_seconds(self) -> dict[str, float]:
        """Return the seconds by part since the last call."""
        found = dict(self._seconds)
        self._seconds.clear()
        return found


def _synchronized_time() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
