"""How much of something an owner may take in a window of time, counted in the database, so that services which share
one count together and a restart forgets nothing.

Windows are fixed: minute by minute, day by day in UTC. Counting is one statement, so that requests at the same moment
cannot both take what is there once. Knows nothing about keys or HTTP.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import case, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from app.database.rows import read_connection
from app.database.tables import USAGE

RETENTION_SECONDS = 2 * 86_400  # after which a count is forgotten; the longest window is a day


@dataclass(frozen=True)
class Quota:
    """So many of something in each window."""

    name: str
    limit: float
    window_s: int


@dataclass(frozen=True)
class QuotaState:
    """How a quota stands. reset_s: seconds until its next window. taken: whether what was asked for was there."""

    quota: Quota
    remaining: float
    reset_s: float
    granted: bool = True


class QuotaCounter:
    """The counts."""

    def __init__(self, database: AsyncEngine, now: Callable[[], float] = time.time) -> None:
        self.database = database
        self.now = now
        self._insert = sqlite.insert if database.dialect.name == "sqlite" else postgresql.insert

    async def take(self, owner: str, quota: Quota, amount: float) -> QuotaState:
        """Take so much if it is there; else nothing."""
        began = self._window_start(quota)
        fresh = self._insert(USAGE).values(owner=owner, quota=quota.name, began=began, used=amount)
        this = USAGE.c.began == fresh.excluded.began
        counted = fresh.on_conflict_do_update(
            index_elements=[USAGE.c.owner, USAGE.c.quota],
            set_={
                "used": case((this, USAGE.c.used + fresh.excluded.used), else_=fresh.excluded.used),
                "began": fresh.excluded.began,
            },
            where=or_(~this, USAGE.c.used + fresh.excluded.used <= quota.limit),
        ).returning(USAGE.c.used)
        if amount <= quota.limit:
            async with self.database.begin() as connection:
                used = (await connection.execute(counted)).scalar()
            if used is not None:
                return self._state_of(quota, began, used)
        return replace(await self.state(owner, quota), granted=False)

    async def state(self, owner: str, quota: Quota) -> QuotaState:
        """How it stands; nothing is taken."""
        began = self._window_start(quota)
        query = select(USAGE.c.used).where(USAGE.c.owner == owner, USAGE.c.quota == quota.name, USAGE.c.began == began)
        async with read_connection(self.database) as connection:
            return self._state_of(quota, began, (await connection.execute(query)).scalar() or 0.0)

    async def delete_expired(self) -> None:
        """Delete what nobody asks for any more."""
        async with self.database.begin() as connection:
            await connection.execute(delete(USAGE).where(USAGE.c.began < self.now() - RETENTION_SECONDS))

    def _window_start(self, quota: Quota) -> int:
        return int(self.now() // quota.window_s) * quota.window_s

    def _state_of(self, quota: Quota, began: int, used: float) -> QuotaState:
        return QuotaState(quota, max(0.0, quota.limit - used), max(0.0, began + quota.window_s - self.now()))
