"""How many webhooks go to one host at once, and how long a host that does not answer is left alone.

A host that hangs takes a place for as long as one try may last. It gets a few places at most, and after each failure in
a row it is left alone for longer, so that the other places stay free for receivers that answer. What is remembered here
is this process's own and lost with it. Knows nothing about deliveries.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MAX_BACKOFF_SECONDS = 300
FAILURE_MEMORY_SECONDS = 3600  # after a pause, a host's failures are forgotten
MAX_HOSTS = 1000  # whose failures are remembered


@dataclass(frozen=True)
class _Backoff:
    failures: int
    until: float


class HostBackoff:
    """delays: how long a host is left alone after so many failures in a row, in seconds. per_host: most tries at once.
    now: a clock that is never set.
    """

    def __init__(self, delays: Sequence[float], per_host: int, now: Callable[[], float] = time.monotonic) -> None:
        self.delays = delays
        self.per_host = per_host
        self._now = now
        self._attempts_in_flight: Counter[str] = Counter()
        self._pauses: dict[str, _Backoff] = {}

    def hosts_to_skip(self) -> list[str]:
        """Hosts that are not to be tried now. One that failed last is tried once at a time."""
        busy = [
            host
            for host, tries in self._attempts_in_flight.items()
            if tries >= (1 if host in self._pauses else self.per_host)
        ]
        return list({*busy, *self.paused_hosts()})

    def paused_hosts(self) -> list[str]:
        """Hosts that are left alone now because they did not answer."""
        now = self._now()
        return [host for host, pause in self._pauses.items() if pause.until > now]

    def next_retry_s(self) -> float | None:
        """Seconds until the first pause is over; None if there is none."""
        now = self._now()
        return min((pause.until - now for pause in self._pauses.values() if pause.until > now), default=None)

    def start_attempt(self, host: str) -> None:
        """A try begins."""
        self._attempts_in_flight[host] += 1

    def end_attempt(self, host: str, *, answered: bool) -> None:
        """A try has ended. answered: whether the host is up, whatever it said."""
        self._attempts_in_flight[host] -= 1
        self._attempts_in_flight += Counter()  # drops what is 0
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
