"""Leases that do not depend on wall clocks: a holder that has renewed its lease for too long is considered dead.

A lease is a counter in the database that its holder raises again and again. No end time is stored, because a wall clock
can jump and the clocks of two hosts differ. Instead, each service watches the counters and considers a holder dead if
its counter has not changed for the length of a lease, measured by the watching service's own monotonic clock. Time in
which the watching service was suspended does not count, because it saw nothing then. Knows nothing about databases or
what is held.
"""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

RENEWALS_PER_LEASE = 3  # a lease is renewed, and checked, this many times before it would end

LeaseName = TypeVar("LeaseName", bound=Hashable)


@dataclass
class _LeaseState:
    counter: Hashable
    unchanged_s: float = 0.0


class LeaseWatch(Generic[LeaseName]):
    """What one service has seen of the leases of others.

    Args:
        lease_s: seconds without a renewal after which a holder is considered dead.
        now: a monotonic clock, in seconds.
    """

    def __init__(self, lease_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self.lease_s = lease_s
        self._now = now
        self._last_check: float | None = None
        self._states: dict[LeaseName, _LeaseState] = {}

    def expired_leases(self, leases: Mapping[LeaseName, Hashable]) -> list[LeaseName]:
        """Return the leases whose holders have not renewed them for too long.

        Must be called about `RENEWALS_PER_LEASE` times in the length of a lease.

        Args:
            leases: every lease that is held now, with its counter.
        """
        now = self._now()
        elapsed_s = 0.0 if self._last_check is None else now - self._last_check
        # If two checks are far apart, this service itself stood still in between, and perhaps all others did too.
        elapsed_s = min(elapsed_s, 2 * self.lease_s / RENEWALS_PER_LEASE)
        self._last_check = now
        states: dict[LeaseName, _LeaseState] = {}
        for lease, counter in leases.items():
            state = self._states.get(lease)
            if state is None or state.counter != counter:
                state = _LeaseState(counter)
            else:
                state.unchanged_s += elapsed_s
            states[lease] = state
        self._states = states
        return [lease for lease, state in states.items() if state.unchanged_s >= self.lease_s]
