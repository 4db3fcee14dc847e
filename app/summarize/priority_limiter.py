"""A bounded number of places, given to who waits with the lowest priority first, and among these to who came first.

For one event loop; takes no locks. Knows nothing about what the places are for.
"""

import asyncio
import heapq
from itertools import count


class PriorityLimiter:
    """`number` places."""

    def __init__(self, limit: int) -> None:
        self.available = limit
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    async def acquire(self, priority: int = 0) -> None:
        """Take a place, when one is free and it is this caller's turn."""
        if self.available and not self._waiting:
            self.available -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had been given the place already
                self.release()
            raise

    def release(self) -> None:
        """Give the place to whose turn it is."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self.available += 1
