"""A semaphore that serves waiters by priority: the lowest value first, and equal values in the order of their arrival.

For one event loop; takes no locks. Knows nothing about what it limits.
"""

import asyncio
import heapq
from itertools import count


class PriorityLimiter:
    """A semaphore for at most `limit` holders. `available` is the number of free places."""

    def __init__(self, limit: int) -> None:
        self.available = limit
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    async def acquire(self, priority: int = 0) -> None:
        """Wait until a place is free and it is this caller's turn, then take the place."""
        if self.available and not self._waiting:
            self.available -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it has been given a place already
                self.release()
            raise

    def release(self) -> None:
        """Give the place back: to the next waiter, or to the free places if nobody waits."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self.available += 1
