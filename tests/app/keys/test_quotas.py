"""Counting what was taken: windows, what is not there, and many at once."""

import asyncio

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.database.tables import USAGE
from app.keys.quotas import RETENTION_SECONDS, Quota, QuotaCounter

MINUTE = Quota("requests", 3, 60)
DAY = Quota("audio-seconds", 600, 86_400)


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = 60_000.0 + 12

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_what_is_taken_is_gone_until_the_next_window(database: AsyncEngine, clock: Clock) -> None:
    quotas = QuotaCounter(database, clock)
    assert (await quotas.state("anna", MINUTE)).remaining == 3
    for left in (2, 1, 0):
        found = await quotas.take("anna", MINUTE, 1)
        assert (found.granted, found.remaining, found.reset_s) == (True, left, 48)
    refused = await quotas.take("anna", MINUTE, 1)
    assert (refused.granted, refused.remaining, refused.reset_s) == (False, 0, 48)
    clock.now += 48
    assert (await quotas.state("anna", MINUTE)).remaining == 3
    assert (await quotas.take("anna", MINUTE, 1)).remaining == 2


async def test_owners_and_quotas_are_counted_apart(database: AsyncEngine, clock: Clock) -> None:
    quotas = QuotaCounter(database, clock)
    await quotas.take("anna", MINUTE, 3)
    assert (await quotas.take("bob", MINUTE, 1)).granted
    assert (await quotas.take("anna", DAY, 1)).remaining == 599


async def test_what_is_not_there_is_not_taken_in_part(database: AsyncEngine, clock: Clock) -> None:
    quotas = QuotaCounter(database, clock)
    assert (await quotas.take("anna", DAY, 500)).remaining == 100
    refused = await quotas.take("anna", DAY, 101)
    assert (refused.granted, refused.remaining) == (False, 100)
    assert (await quotas.take("anna", DAY, 100)).remaining == 0


async def test_more_than_there_ever_is_takes_nothing(database: AsyncEngine, clock: Clock) -> None:
    quotas = QuotaCounter(database, clock)
    refused = await quotas.take("anna", DAY, 601)
    assert (refused.granted, refused.remaining) == (False, 600)


async def test_many_at_once_get_what_is_there_and_no_more(database: AsyncEngine, clock: Clock) -> None:
    quotas = QuotaCounter(database, clock)
    found = await asyncio.gather(*(quotas.take("anna", Quota("requests", 10, 60), 1) for _ in range(30)))
    assert sum(one.granted for one in found) == 10


async def test_old_counts_are_forgotten(database: AsyncEngine, clock: Clock) -> None:
    quotas = QuotaCounter(database, clock)
    await quotas.take("anna", DAY, 1)
    clock.now += RETENTION_SECONDS
    await quotas.take("bob", DAY, 1)
    await quotas.delete_expired()
    async with database.connect() as connection:
        assert [row.owner for row in await connection.execute(select(USAGE))] == ["bob"]
