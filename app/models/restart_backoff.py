"""How often and how soon a dead engine is started again. Knows nothing about models."""

import time
from collections.abc import Callable

MAX_DELAY_SECONDS = 60.0
HEALTHY_SECONDS = 60.0  # an engine that has lived for so long starts the count anew


class RestartBackoff:
    """Counts the restarts of one engine in a row.

    Args:
        attempts: most restarts in a row.
        now: a monotonic clock, in seconds.
    """

    def __init__(self, attempts: int, now: Callable[[], float] = time.monotonic) -> None:
        self.attempts = attempts
        self.count = 0
        self._now = now
        self._started_at = now()

    def note_start(self) -> None:
        """Note that the engine answers from now on."""
        self._started_at = self._now()

    def note_death(self) -> None:
        """Note that the engine has died. If it had lived for long enough, earlier restarts are forgotten."""
        if self._now() - self._started_at >= HEALTHY_SECONDS:
            self.count = 0

    def next_delay_s(self) -> float | None:
        """Return the seconds to wait before the next restart, and count it; None if there must be no further one."""
        if self.count >= self.attempts:
            return None
        self.count += 1
        return float(min(2 ** (self.count - 1), MAX_DELAY_SECONDS))
