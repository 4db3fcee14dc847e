"""In which order requests get the processor: fair between callers, and shortest first within each caller.

How long a piece of work takes is not known before it is done, and a header that announces it may lie. So what counts is
the time that was spent already. Among callers, the one that was given the least goes first (start-time fair queueing).
Among the requests of one caller, the one that took the least so far goes first (least attained service, in levels that
double, so that two long ones do not take turns all the time), and among these the smaller one.

Work that nobody waits for goes behind all other work, but is not starved: after `PATIENCE_S` it gets a turn.

Knows nothing about what the work is. For one event loop; takes no locks.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count

FIRST_LEVEL_S = 0.05
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Requester:
    """Who wants a piece of work. name: of the caller (its key's owner or its address); empty where there is none.
    background: nobody waits for it.
    """

    name: str = ""
    background: bool = False


NOBODY = Requester()


@dataclass(eq=False)
class Claim:
    """One request's claim on a share. size: of what it brings, in any unit. spent_s: seconds that were spent on it."""

    requester: Requester
    size: int
    order: int
    waits_since: float
    spent_s: float = field(default=0.0)


class Shares:
    """What all requests that are alive were given so far. clock: tells the time in seconds, and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._order = count()
        self._given: dict[Requester, float] = {}
        self._alive: dict[Requester, int] = {}

    def enter(self, requester: Requester, size: int = 0) -> Claim:
        """A new request. A caller that had none gets no credit for the time in which it asked for nothing."""
        if not self._alive.get(requester):
            self._given[requester] = min(self._given.values(), default=0.0)
        self._alive[requester] = self._alive.get(requester, 0) + 1
        return Claim(requester, size, next(self._order), self._clock())

    def leave(self, claim: Claim) -> None:
        """The request has ended. To be called once."""
        self._alive[claim.requester] -= 1
        if not self._alive[claim.requester]:
            del self._alive[claim.requester], self._given[claim.requester]

    def charge(self, claim: Claim, seconds: float) -> None:
        """So many seconds of work were done for it."""
        claim.spent_s += seconds
        claim.waits_since = self._clock()
        self._given[claim.requester] += seconds

    def turn(self, claim: Claim) -> tuple[bool, float, int, int, int]:
        """A key to sort by: what has the lowest goes first."""
        waited = self._clock() - claim.waits_since
        behind = claim.requester.background and waited < PATIENCE_S
        return behind, self._given[claim.requester], _level(claim.spent_s), claim.size, claim.order

    def in_turn(self, claims: Iterable[Claim]) -> list[Claim]:
        """These, the first to be served first."""
        return sorted(claims, key=self.turn)


def _level(spent_s: float) -> int:
    return 0 if spent_s < FIRST_LEVEL_S else 1 + int(math.log2(spent_s / FIRST_LEVEL_S))
