"""Limits the webhooks to one host: how many are sent at once, and how long a host that does not answer is left alone.

A host that hangs occupies a place for as long as one attempt may last. Therefore a host gets a few places at most, and
after each failure in a row it is left alone for longer, so that the other places stay free for receivers that answer.
The counts belong to this process and are lost with it. Knows nothing about deliveries.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MAX_BACKOFF_SECONDS = 300
FAILURE_MEMORY_SECONDS = 3600  # a host's failures are forgotten this long after its last pause
MAX_HOSTS = 1000  # hosts whose failures are remembered


@dataclass(frozen=True)
class _Backoff:
    failures: int
    until: float


class HostBackoff:
    """Counts the attempts in flight and the failures of each host.

    Args:
        delays: seconds that a host is left alone after one failure, two failures in a row, and so on.
        per_host: most attempts at the same time to one host.
        now: a monotonic clock, in seconds.
    """

    def __init__(self, delays: Sequence[float], per_host: int, now: Callable[[], float] = time.monotonic) -> None:
        self.delays = delays
        self.per_host = per_host
        self._now = now
        self._attempts_in_flight: Counter[str] = Counter()
        self._pauses: dict[str, _Backoff] = {}

    def hosts_to_skip(self) -> list[str]:
        """Return the hosts that must not be tried now. A host whose last attempt failed gets one attempt at a time."""
        busy = [
            host
            for host, count in self._attempts_in_flight.items()
            if count >= (1 if host in self._pauses else self.per_host)
        ]
        return list({*busy, *self.paused_hosts()})

    def paused_hosts(self) -> list[str]:
        """Return the hosts that are left alone now because they did not answer."""
        now = self._now()
        return [host for host, pause in self._pauses.items() if pause.until > now]

    def next_retry_s(self) -> float | None:
        """Return the seconds until the first pause ends; None if no host is paused."""
        now = self._now()
        return min((pause.until - now for pause in self._pauses.values() if pause.until > now), default=None)

    def start_attempt(self, host: str) -> None:
        """Count an attempt that begins."""
        self._attempts_in_flight[host] += 1

    def end_attempt(self, host: str, *, answered: bool) -> None:
        """Count an attempt that has ended. `answered` says whether the host is up, whatever it answered."""
        self._attempts_in_flight[host] -= 1
        self._attempts_in_flight += Counter()  # drops the hosts whose count is 0
        if answered:
            self._pauses.pop(host, None)
            return
        failures = self._pauses[host].failures + 1 if host in self._pauses else 1
        pause_s = min(self.delays[min(failures, len(self.delays)) - 1], MAX_BACKOFF_SECONDS) if self.delays else 0.0
        self._pauses[host] = _Backoff(failures, self._now() + pause_s)
        self._forget_old_failures()

    def _forget_old_failures(self) -> None:
        now = self._now()
        kept = {host: pause for host, pause in self._pauses.items() if pause.until > now - FAILURE_MEMORY_SECONDS}
        latest = sorted(kept, key=lambda host: kept[host].until)[-MAX_HOSTS:]
        self._pauses = {host: kept[host] for host in latest}
