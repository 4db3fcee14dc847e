"""Keys of requests as leases, in SQLite and in PostgreSQL. What callers see: `tests.app.api.test_repeats`."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.errors import Conflict
from app.idempotency import Answer, Answers, Reservation
from app.jobs.runner import BEATS
from app.together import end

LEASE_S = 0.5
ANSWER = Answer(200, {"content-type": "text/plain"}, b"first")


def service(database: AsyncEngine, hold_s: float = 60) -> Answers:
    """One service's answers, of several that share a database."""
    return Answers(database, hold_s, LEASE_S, keep_s=60)


async def take(answers: Answers) -> Reservation:
    reservation = await answers.reserve("", "key", "asked")
    assert isinstance(reservation, Reservation)
    return reservation


async def beat(answers: Answers) -> None:
    """What the queue does while a service lives."""
    while True:
        await answers.renew()
        await asyncio.sleep(LEASE_S / BEATS)


async def test_the_key_of_a_service_that_died_is_free_after_its_lease(database: AsyncEngine) -> None:
    dead, other = service(database), service(database)
    lost = await take(dead)
    with pytest.raises(Conflict):
        await take(other)
    await asyncio.sleep(LEASE_S + 0.1)
    taken_over = await take(other)
    await other.keep(taken_over, ANSWER)
    await dead.keep(lost, Answer(200, {}, b"late"))
    assert await other.reserve("", "key", "asked") == ANSWER


async def test_a_request_that_takes_longer_than_its_lease_keeps_its_key(database: AsyncEngine) -> None:
    answers, other = service(database), service(database)
    beating = asyncio.create_task(beat(answers))
    reservation = await take(answers)
    await asyncio.sleep(3 * LEASE_S)
    with pytest.raises(Conflict):
        await take(other)
    await answers.keep(reservation, ANSWER)
    await asyncio.sleep(2 * LEASE_S)
    assert await other.reserve("", "key", "asked") == ANSWER
    await end(beating)


@pytest.mark.parametrize("ended", ["released", "held too long"])
async def test_what_has_ended_is_not_renewed(database: AsyncEngine, ended: str) -> None:
    answers, other = service(database, hold_s=60 if ended == "released" else 2 * LEASE_S), service(database)
    beating = asyncio.create_task(beat(answers))
    reservation = await take(answers)
    if ended == "released":
        await answers.release(reservation)
    else:
        await asyncio.sleep(4 * LEASE_S)
    await take(other)
    await end(beating)


async def test_work_that_lost_its_key_is_undone_with_its_transaction(database: AsyncEngine) -> None:
    answers, other = service(database), service(database)
    reservation = await take(answers)
    await asyncio.sleep(LEASE_S + 0.1)
    taken_over = await take(other)
    with pytest.raises(Conflict):
        async with database.begin() as connection:
            await answers.keep_with(connection, reservation, ANSWER)
    await other.release(taken_over)
    await take(answers)
