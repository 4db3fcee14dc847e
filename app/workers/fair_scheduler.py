"""Decides in which order requests get the processor: fairly between callers, and shortest first within each caller.

Nobody knows how long a piece of work takes before it is done, and a file's header may lie about it. So the order
depends on the time that was already spent. Among callers, the one that got the least time goes first (start-time fair
queueing). Among the requests of one caller, the one that got the least time goes first (least attained service), in
levels that double, so that two long requests do not alternate all the time. Within a level the smaller one goes first.

Background work, which nobody waits for, goes behind all other work, but it is not starved: after
`MAX_BACKGROUND_WAIT_S` it gets a turn.

This module knows nothing about what the work is. It takes no locks: use it from one event loop.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count

FIRST_LEVEL_QUANTUM_S = 0.05  # requests that got less time than this are in the first level
MAX_BACKGROUND_WAIT_S = 30.0


@dataclass(frozen=True)
class Requester:
    """Who asks for a piece of work.

    Attributes:
        name: The caller: its API key's owner or its address. Empty if there is none.
        background: Nobody waits for the result.
    """

    name: str = ""
    background: bool = False


ANONYMOUS = Requester()


@dataclass(eq=False)
class SchedulerEntry:
    """One request in the scheduler.

    Attributes:
        requester: Who asks.
        size: Size of the input, in any unit.
        order: Position by arrival.
        waiting_since: When it was added or last charged, by the scheduler's clock in seconds.
        spent_s: Seconds of work that were done for it.
    """

    requester: Requester
    size: int
    order: int
    waiting_since: float
    spent_s: float = field(default=0.0)


class FairScheduler:
    """Keeps the time that each active request and each caller got so far, and sorts requests by it.

    Args:
        clock: Returns a monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._order = count()
        self._spent_by_requester: dict[Requester, float] = {}
        self._active_by_requester: dict[Requester, int] = {}

    def add(self, requester: Requester, size: int = 0) -> SchedulerEntry:
        """Add a request. A caller that had no active request gets no credit for the time before."""
        if not self._active_by_requester.get(requester):
            self._spent_by_requester[requester] = min(self._spent_by_requester.values(), default=0.0)
        self._active_by_requester[requester] = self._active_by_requester.get(requester, 0) + 1
        return SchedulerEntry(requester, size, next(self._order), self._clock())

    def remove(self, entry: SchedulerEntry) -> None:
        """Remove a request that has ended. Call it once for each request."""
        self._active_by_requester[entry.requester] -= 1
        if not self._active_by_requester[entry.requester]:
            del self._active_by_requester[entry.requester], self._spent_by_requester[entry.requester]

    def charge(self, entry: SchedulerEntry, seconds: float) -> None:
        """Count seconds of work that were done for the request."""
        entry.spent_s += seconds
        entry.waiting_since = self._clock()
        self._spent_by_requester[entry.requester] += seconds

    def sort_key(self, entry: SchedulerEntry) -> tuple[bool, float, int, int, int]:
        """Return the key to sort by: the request with the lowest key goes first."""
        waited = self._clock() - entry.waiting_since
        behind = entry.requester.background and waited < MAX_BACKGROUND_WAIT_S
        return behind, self._spent_by_requester[entry.requester], _level(entry.spent_s), entry.size, entry.order

    def sorted_entries(self, entries: Iterable[SchedulerEntry]) -> list[SchedulerEntry]:
        """Return the requests in the order in which they are to be served."""
        return sorted(entries, key=self.sort_key)


def _level(spent_s: float) -> int:
    return 0 if spent_s < FIRST_LEVEL_QUANTUM_S else 1 + int(math.log2(spent_s / FIRST_LEVEL_QUANTUM_S))
