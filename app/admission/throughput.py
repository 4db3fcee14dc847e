"""How fast the service is: audio seconds answered per second in which there was something to answer.

Knows nothing about what is done with the audio.
"""

import time
from collections.abc import Callable

MEMORY = 0.9  # what the past weighs beside each new answer


class Pace:
    """Recent answers weigh most; times at which nothing was inside do not count. For one event loop."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self.inside = 0  # recordings
        self._since = 0.0
        self._audio_s = 0.0
        self._worked_s = 0.0

    @property
    def rate(self) -> float | None:
        """Audio seconds a second; None until something was answered."""
        return self._audio_s / self._worked_s if self._worked_s > 0 and self._audio_s > 0 else None

    def entered(self) -> None:
        """A recording is inside."""
        if not self.inside:
            self._since = self._now()
        self.inside += 1

    def left(self, audio_s: float, answered: bool) -> None:
        """It no longer is. One that was not answered has taken time all the same, but the next answer counts it."""
        self.inside -= 1
        if answered:
            now = self._now()
            self._audio_s = MEMORY * self._audio_s + audio_s
            self._worked_s = MEMORY * self._worked_s + now - self._since
            self._since = now
