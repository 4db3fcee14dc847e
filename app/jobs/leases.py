"""Leases without clocks that are set: whether the holder of something has died, by how long it has renewed nothing.

What is worked on is held by a lease, a counter in the database that its holder raises again and again. Nobody writes
down until when a lease lasts: a wall clock can jump, and two hosts' clocks differ. Each service looks at the counters
instead, and takes for dead whoever raised none for as long as a lease lasts, measured by its own monotonic clock. A
service that was suspended has looked at nothing meanwhile, so that time does not count either. Knows nothing about
databases or what is held.
"""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

RENEWALS_PER_LEASE = 3  # a lease is renewed, and looked at, so often before it would end

LeaseName = TypeVar("LeaseName", bound=Hashable)


@dataclass
class _LeaseState:
    counter: Hashable
    unchanged_s: float = 0.0


class LeaseWatch(Generic[LeaseName]):
    """What one service has seen of leases. lease_s: seconds without a renewal after which a holder is dead."""

    def __init__(self, lease_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self.lease_s = lease_s
        self._now = now
        self._last_check: float | None = None
        self._states: dict[LeaseName, _LeaseState] = {}

    def expired_leases(self, leases: Mapping[LeaseName, Hashable]) -> list[LeaseName]:
        """Which of these have not been renewed for too long. leases: all that are held, each with its counter; to be
        called with them about `RENEWALS_PER_LEASE` times in the length of a lease.
        """
        now = self._now()
        passed = 0.0 if self._last_check is None else now - self._last_check
        # A long time between two looks is one in which this service itself stood still, and perhaps all others too.
        passed = min(passed, 2 * self.lease_s / RENEWALS_PER_LEASE)
        self._last_check = now
        seen: dict[LeaseName, _LeaseState] = {}
        for lease, counter in leases.items():
            sight = self._states.get(lease)
            if sight is None or sight.counter != counter:
                sight = _LeaseState(counter)
            else:
                sight.unchanged_s += passed
            seen[lease] = sight
        self._states = seen
        return [lease for lease, sight in seen.items() if sight.unchanged_s >= self.lease_s]
