"""Answers that are given once: a request repeated under the same `Idempotency-Key` gets the first one's answer.

As the IETF draft (draft-ietf-httpapi-idempotency-key-header) has it: the same key with another request is 422, with the
same request while the first is still worked on 409. Failures are not kept: who repeats after one is served. A request
holds its key by a token (a fencing token: whoever lost the key writes nothing) and by a lease that its service renews,
so that the key of a service that died is soon free (`app.jobs.leases`). A service never takes its own request for dead.
Knows nothing about HTTP frameworks.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core.errors import Conflict, Unprocessable
from app.database.rows import read_connection
from app.database.tables import ANSWERS
from app.jobs.leases import LeaseWatch

RETRY_AFTER_S = 1.0


@dataclass(frozen=True)
class StoredResponse:
    """What was answered."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reservation:
    """A key that is being worked on. `token` tells this request from another that took the key over."""

    owner: str
    key: str
    token: str


class IdempotencyStore:
    """hold_s: longest that a request works on its answer. lease_s: how long a key stays with a service that has died.
    keep_s: how long the answer is kept. now: a clock that is never set.
    """

    def __init__(
        self,
        database: AsyncEngine,
        timeout_s: float,
        lease_s: float,
        retention_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.database = database
        self.timeout_s = timeout_s
        self.retention_s = retention_s
        self.now = now
        self.lease_watch: LeaseWatch[str] = LeaseWatch(min(lease_s, timeout_s), now)
        self._held_until: dict[str, float] = {}  # tokens of what is worked on here, and until when at the latest

    async def renew_leases(self) -> None:
        """Renew the leases of what is worked on here, and free the keys over which another service has died; to be
        called `BEATS` times in the length of a lease. What is lost nevertheless is found out by `keep`.
        """
        now = self.now()
        self._held_until = {token: latest for token, latest in self._held_until.items() if now < latest}
        in_flight = ANSWERS.c.status.is_(None)
        if self._held_until:
            mine = and_(ANSWERS.c.token.in_(list(self._held_until)), in_flight)
            async with self.database.begin() as connection:
                await connection.execute(update(ANSWERS).where(mine).values(renewals=ANSWERS.c.renewals + 1))
        async with read_connection(self.database) as connection:
            found = await connection.execute(select(ANSWERS.c.token, ANSWERS.c.renewals).where(in_flight))
            others = {token: renewals for token, renewals in found if token not in self._held_until}
        for token in self.lease_watch.expired_leases(others):
            unchanged = and_(ANSWERS.c.token == token, ANSWERS.c.renewals == others[token], in_flight)
            async with self.database.begin() as connection:
                await connection.execute(delete(ANSWERS).where(unchanged))

    async def reserve(self, owner: str, key: str, fingerprint: str) -> Reservation | StoredResponse:
        """The key for this request alone; or the answer that it has. Raises Conflict (409), Unprocessable (422).

        fingerprint: SHA-256 of what is asked, as hex.
        """
        reservation = Reservation(owner, key, uuid.uuid4().hex)
        row = {"fingerprint": fingerprint, "token": reservation.token, "until": time.time() + self.retention_s}
        same = and_(ANSWERS.c.owner == owner, ANSWERS.c.key == key)
        try:
            async with self.database.begin() as connection:
                await connection.execute(delete(ANSWERS).where(same, _is_expired()))
                await connection.execute(insert(ANSWERS).values(owner=owner, key=key, **row))
            self._held_until[reservation.token] = self.now() + self.timeout_s
            return reservation
        except IntegrityError:
            pass
        async with read_connection(self.database) as connection:
            found = (await connection.execute(select(ANSWERS).where(same))).mappings().first()
        if found is not None and found["fingerprint"] != fingerprint:
            raise Unprocessable(
                "This Idempotency-Key was used for another request. Draw a new one for each request.",
                code="idempotency_key_reused",
            )
        if found is None or found["status"] is None:
            raise Conflict(
                "A request with this Idempotency-Key is still being worked on. Ask again later for its answer.",
                code="idempotency_in_flight",
                retry_after_s=RETRY_AFTER_S,
            )
        return StoredResponse(found["status"], found["headers"], found["body"])

    async def store(self, reservation: Reservation, response: StoredResponse) -> None:
        """The answer, from now on for everybody who repeats. Raises Conflict (409) if the key is another request's by
        now: then that one's answer is the one to give.
        """
        async with self.database.begin() as connection:
            await self.store_in_transaction(connection, reservation, response)

    async def store_in_transaction(
        self, connection: AsyncConnection, reservation: Reservation, response: StoredResponse, job: str | None = None
    ) -> None:
        """`keep` as a part of the caller's transaction, which must not be if another has the key. job: the id of the
        one that the answer tells of, with which it is deleted.
        """
        self._held_until.pop(reservation.token, None)
        until = time.time() + self.retention_s
        kept = await connection.execute(
            update(ANSWERS)
            .where(_matches_reservation(reservation))
            .values(status=response.status, headers=response.headers, body=response.body, until=until, job=job)
        )
        if not kept.rowcount:
            raise Conflict(
                "This request took too long: another one with its Idempotency-Key is being worked on.",
                code="idempotency_in_flight",
                retry_after_s=RETRY_AFTER_S,
            )

    async def release(self, reservation: Reservation) -> None:
        """There is no answer to keep: the key is free again."""
        self._held_until.pop(reservation.token, None)
        async with self.database.begin() as connection:
            await connection.execute(
                delete(ANSWERS).where(_matches_reservation(reservation), ANSWERS.c.status.is_(None))
            )

    async def delete_expired(self) -> None:
        """Delete what is over."""
        async with self.database.begin() as connection:
            await connection.execute(delete(ANSWERS).where(_is_expired()))


def _matches_reservation(reservation: Reservation) -> Any:
    return and_(
        ANSWERS.c.owner == reservation.owner,
        ANSWERS.c.key == reservation.key,
        ANSWERS.c.token == reservation.token,
    )


def _is_expired() -> Any:
    return and_(ANSWERS.c.status.is_not(None), ANSWERS.c.until < time.time())
