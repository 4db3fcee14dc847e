"""Keys of requests as leases, in SQLite and in PostgreSQL. What callers see: `tests.app.api.test_idempotency`."""

import time

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.errors import Conflict
from app.jobs.idempotency_store import IdempotencyStore, Reservation, StoredResponse
from app.jobs.leases import RENEWALS_PER_LEASE
from tests.app.jobs.test_leases import Clock

LEASE_S = 30.0
ANSWER = StoredResponse(200, {"content-type": "text/plain"}, b"first")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def service(database: AsyncEngine, clock: Clock, hold_s: float = 900) -> IdempotencyStore:
    """One service's answers, of several that share a database."""
    return IdempotencyStore(database, hold_s, LEASE_S, retention_s=60, now=clock)


async def take(answers: IdempotencyStore) -> Reservation:
    reservation = await answers.reserve("", "key", "asked")
    assert isinstance(reservation, Reservation)
    return reservation


async def pass_time(clock: Clock, *alive: IdempotencyStore, leases: float = 1) -> None:
    """Let so many lengths of a lease pass, in which these services do what they do at each beat."""
    for _ in range(round(leases * RENEWALS_PER_LEASE) + 1):
        for answers in alive:
            await answers.renew_leases()
        clock.now += LEASE_S / RENEWALS_PER_LEASE


async def test_the_key_of_a_service_that_died_is_free_after_its_lease(database: AsyncEngine, clock: Clock) -> None:
    dead, other = service(database, clock), service(database, clock)
    lost = await take(dead)
    with pytest.raises(Conflict):
        await take(other)
    await pass_time(clock, other)
    taken_over = await take(other)
    await other.store(taken_over, ANSWER)
    with pytest.raises(Conflict):
        await dead.store(lost, StoredResponse(200, {}, b"late"))
    assert await other.reserve("", "key", "asked") == ANSWER


async def test_a_request_that_takes_longer_than_its_lease_keeps_its_key(database: AsyncEngine, clock: Clock) -> None:
    answers, other = service(database, clock), service(database, clock)
    reservation = await take(answers)
    await pass_time(clock, answers, other, leases=3)
    with pytest.raises(Conflict):
        await take(other)
    await answers.store(reservation, ANSWER)
    await pass_time(clock, answers, other, leases=2)
    assert await other.reserve("", "key", "asked") == ANSWER


async def test_a_service_that_was_suspended_does_not_run_its_own_request_twice(
    database: AsyncEngine, clock: Clock
) -> None:
    answers = service(database, clock)
    reservation = await take(answers)
    clock.now += 10 * LEASE_S
    with pytest.raises(Conflict):
        await take(answers)
    await answers.renew_leases()
    with pytest.raises(Conflict):
        await take(answers)
    await answers.store(reservation, ANSWER)


@pytest.mark.parametrize("jump_s", [86_400, -86_400])
async def test_a_wall_clock_that_jumps_frees_no_key(
    database: AsyncEngine, clock: Clock, jump_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, other = service(database, clock), service(database, clock)
    await take(answers)
    now = time.time() + jump_s
    monkeypatch.setattr(time, "time", lambda: now)
    await answers.delete_expired()
    for one in (answers, other):
        with pytest.raises(Conflict):
            await take(one)


@pytest.mark.parametrize("ended", ["released", "held too long"])
async def test_what_has_ended_is_not_renewed(database: AsyncEngine, clock: Clock, ended: str) -> None:
    hold_s = 900 if ended == "released" else 2 * LEASE_S
    answers, other = service(database, clock, hold_s), service(database, clock)
    reservation = await take(answers)
    if ended == "released":
        await answers.release(reservation)
    else:
        await pass_time(clock, answers, leases=4)
    await take(other)


async def test_work_that_lost_its_key_is_undone_with_its_transaction(database: AsyncEngine, clock: Clock) -> None:
    answers, other = service(database, clock), service(database, clock)
    reservation = await take(answers)
    await pass_time(clock, other)
    taken_over = await take(other)
    with pytest.raises(Conflict):
        async with database.begin() as connection:
            await answers.store_in_transaction(connection, reservation, ANSWER)
    await other.release(taken_over)
    await take(answers)
