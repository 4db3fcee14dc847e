"""The throughput of the service: audio seconds answered per second in which there was something to answer.

Knows nothing about what is done with the audio.
"""

import time
from collections.abc import Callable

DECAY = 0.9  # the factor on the weight of the past at each new answer


class Throughput:
    """A moving average in which recent answers weigh most and idle times do not count. For one event loop.

    now: returns the time in seconds, from any starting point.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self.active_recordings = 0
        self._counted_until = 0.0
        self._audio_s = 0.0
        self._busy_s = 0.0

    @property
    def rate(self) -> float | None:
        """Audio seconds per second, or None before the first answer."""
        return self._audio_s / self._busy_s if self._busy_s > 0 and self._audio_s > 0 else None

    def start_recording(self) -> None:
        """Count a recording that is now being served."""
        if not self.active_recordings:
            self._counted_until = self._now()
        self.active_recordings += 1

    def finish_recording(self, audio_s: float, succeeded: bool) -> None:
        """Count a recording that is no longer being served.

        If it was not answered, its time is added to that of the next answer.
        """
        self.active_recordings -= 1
        if succeeded:
            now = self._now()
            self._audio_s = DECAY * self._audio_s + audio_s
            self._busy_s = DECAY * self._busy_s + now - self._counted_until
            self._counted_until = now
