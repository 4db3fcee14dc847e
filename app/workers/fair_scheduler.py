"""In which order requests get the processor: fair between callers, and shortest first within each caller.

How long a piece of work takes is not known before it is done, and a header that announces it may lie. So what counts is
the time that was spent already. Among callers, the one that was given the least goes first (start-time fair queueing).
Among the requests of one caller, the one that took the least so far goes first (least attained service, in levels that
double, so that two long ones do not take turns all the time), and among these the smaller one.

Work that nobody waits for goes behind all other work, but is not starved: after `MAX_BACKGROUND_WAIT_S` it gets a turn.

Knows nothing about what the work is. For one event loop; takes no locks.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count

FIRST_LEVEL_QUANTUM_S = 0.05
MAX_BACKGROUND_WAIT_S = 30.0


@dataclass(frozen=True)
class Requester:
    """Who wants a piece of work. name: of the caller (its key's owner or its address); empty where there is none.
    background: nobody waits for it.
    """

    name: str = ""
    background: bool = False


ANONYMOUS = Requester()


@dataclass(eq=False)
class SchedulerEntry:
    """One request's claim on a share. size: of what it brings, in any unit. spent_s: seconds that were spent on it."""

    requester: Requester
    size: int
    order: int
    waiting_since: float
    spent_s: float = field(default=0.0)


class FairScheduler:
    """What all requests that are alive were given so far. clock: tells the time in seconds, and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._order = count()
        self._spent_by_requester: dict[Requester, float] = {}
        self._active_by_requester: dict[Requester, int] = {}

    def add(self, requester: Requester, size: int = 0) -> SchedulerEntry:
        """A new request. A caller that had none gets no credit for the time in which it asked for nothing."""
        if not self._active_by_requester.get(requester):
            self._spent_by_requester[requester] = min(self._spent_by_requester.values(), default=0.0)
        self._active_by_requester[requester] = self._active_by_requester.get(requester, 0) + 1
        return SchedulerEntry(requester, size, next(self._order), self._clock())

    def remove(self, claim: SchedulerEntry) -> None:
        """The request has ended. To be called once."""
        self._active_by_requester[claim.requester] -= 1
        if not self._active_by_requester[claim.requester]:
            del self._active_by_requester[claim.requester], self._spent_by_requester[claim.requester]

    def charge(self, claim: SchedulerEntry, seconds: float) -> None:
        """So many seconds of work were done for it."""
        claim.spent_s += seconds
        claim.waiting_since = self._clock()
        self._spent_by_requester[claim.requester] += seconds

    def sort_key(self, claim: SchedulerEntry) -> tuple[bool, float, int, int, int]:
        """A key to sort by: what has the lowest goes first."""
        waited = self._clock() - claim.waiting_since
        behind = claim.requester.background and waited < MAX_BACKGROUND_WAIT_S
        return behind, self._spent_by_requester[claim.requester], _level(claim.spent_s), claim.size, claim.order

    def sorted_entries(self, claims: Iterable[SchedulerEntry]) -> list[SchedulerEntry]:
        """These, the first to be served first."""
        return sorted(claims, key=self.sort_key)


def _level(spent_s: float) -> int:
    return 0 if spent_s < FIRST_LEVEL_QUANTUM_S else 1 + int(math.log2(spent_s / FIRST_LEVEL_QUANTUM_S))
