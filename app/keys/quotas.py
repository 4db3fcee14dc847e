"""Counts how much of something an owner has used in a window of time.

The counts are in the database, so that services which share one count together, and a restart loses nothing. Windows
are fixed: each minute, each day in UTC. Counting is a single statement, so that two requests at the same moment cannot
both take the last of a quota. Knows nothing about keys or HTTP.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import case, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from app.database.rows import read_connection
from app.database.tables import USAGE

RETENTION_SECONDS = 2 * 86_400  # a count is deleted at this age; the longest window is a day


@dataclass(frozen=True)
class Quota:
    """A limit for each window of `window_s` seconds."""

    name: str
    limit: float
    window_s: int


@dataclass(frozen=True)
class QuotaState:
    """The state of a quota.

    Attributes:
        remaining: what is left in the present window.
        reset_s: seconds until the next window begins.
        granted: whether the requested amount was available, and taken.
    """

    quota: Quota
    remaining: float
    reset_s: float
    granted: bool = True


class QuotaCounter:
    """The counts in the database. now: the time in Unix seconds."""

    def __init__(self, database: AsyncEngine, now: Callable[[], float] = time.time) -> None:
        self.database = database
        self.now = now
        self._insert = sqlite.insert if database.dialect.name == "sqlite" else postgresql.insert

    async def take(self, owner: str, quota: Quota, amount: float) -> QuotaState:
        """Take the amount from the owner's quota if that much is left, else nothing; return the state after it."""
        began = self._window_start(quota)
        fresh = self._insert(USAGE).values(owner=owner, quota=quota.name, began=began, used=amount)
        same_window = USAGE.c.began == fresh.excluded.began
        add = fresh.on_conflict_do_update(
            index_elements=[USAGE.c.owner, USAGE.c.quota],
            set_={
                "used": case((same_window, USAGE.c.used + fresh.excluded.used), else_=fresh.excluded.used),
                "began": fresh.excluded.began,
            },
            where=or_(~same_window, USAGE.c.used + fresh.excluded.used <= quota.limit),
        ).returning(USAGE.c.used)
        if amount <= quota.limit:
            async with self.database.begin() as connection:
                used = (await connection.execute(add)).scalar()
            if used is not None:
                return self._state_of(quota, began, used)
        return replace(await self.state(owner, quota), granted=False)

    async def state(self, owner: str, quota: Quota) -> QuotaState:
        """Return the state of the owner's quota. Nothing is taken."""
        began = self._window_start(quota)
        query = select(USAGE.c.used).where(USAGE.c.owner == owner, USAGE.c.quota == quota.name, USAGE.c.began == began)
        async with read_connection(self.database) as connection:
            return self._state_of(quota, began, (await connection.execute(query)).scalar() or 0.0)

    async def delete_expired(self) -> None:
        """Delete the counts of past windows."""
        async with self.database.begin() as connection:
            await connection.execute(delete(USAGE).where(USAGE.c.began < self.now() - RETENTION_SECONDS))

    def _window_start(self, quota: Quota) -> int:
        return int(self.now() // quota.window_s) * quota.window_s

    def _state_of(self, quota: Quota, began: int, used: float) -> QuotaState:
        return QuotaState(quota, max(0.0, quota.limit - used), max(0.0, began + quota.window_s - self.now()))
