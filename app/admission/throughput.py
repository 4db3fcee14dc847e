"""How fast the service is: audio seconds answered per second in which there was something to answer.

Knows nothing about what is done with the audio.
"""

import time
from collections.abc import Callable

DECAY = 0.9  # what the past weighs beside each new answer


class Throughput:
    """Recent answers weigh most; times at which nothing was inside do not count. For one event loop."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self.active_recordings = 0  # recordings
        self._counted_until = 0.0
        self._audio_s = 0.0
        self._busy_s = 0.0

    @property
    def rate(self) -> float | None:
        """Audio seconds a second; None until something was answered."""
        return self._audio_s / self._busy_s if self._busy_s > 0 and self._audio_s > 0 else None

    def start_recording(self) -> None:
        """A recording is inside."""
        if not self.active_recordings:
            self._counted_until = self._now()
        self.active_recordings += 1

    def finish_recording(self, audio_s: float, succeeded: bool) -> None:
        """It no longer is. One that was not answered has taken time all the same, but the next answer counts it."""
        self.active_recordings -= 1
        if succeeded:
            now = self._now()
            self._audio_s = DECAY * self._audio_s + audio_s
            self._busy_s = DECAY * self._busy_s + now - self._counted_until
            self._counted_until = now
