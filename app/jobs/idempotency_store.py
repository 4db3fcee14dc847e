"""Stores the response to each `Idempotency-Key`, so that a repeated request gets the first request's response.

The rules are those of the IETF draft draft-ietf-httpapi-idempotency-key-header: a key that comes with another request
is refused with 422, and with 409 while the first request is still in progress. Failures are not stored, so a request
that repeats a failed one is processed. A request holds its key by a token (a fencing token: a request that has lost the
key writes nothing) and by a lease that its service renews, so that the key of a service that died is soon free
(`app.jobs.leases`). A service never considers its own requests dead. Knows nothing about HTTP frameworks.
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
    """A response as it was sent. The body is as it went over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reservation:
    """A key whose request is in progress. `token` tells this request from another that has taken over the key."""

    owner: str
    key: str
    token: str


class IdempotencyStore:
    """Keys and responses in the database.

    Args:
        timeout_s: longest time that a request works on its response, in seconds.
        lease_s: seconds without a renewal after which the key of another service is free again.
        retention_s: seconds that a response is kept.
        now: a monotonic clock, in seconds.
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
        self._held_until: dict[str, float] = {}  # token → end of its timeout, of the requests in progress here

    async def renew_leases(self) -> None:
        """Renew the leases of the requests in progress here, and free the keys of services that have died.

        Must be called `RENEWALS_PER_LEASE` times in the length of a lease. A key that is lost nevertheless is noticed
        by `store`.
        """
        now = self.now()
        self._held_until = {token: latest for token, latest in self._held_until.items() if now < latest}
        in_flight = ANSWERS.c.status.is_(None)
        if self._held_until:
            mine = and_(ANSWERS.c.token.in_(list(self._held_until)), in_flight)
            async with self.database.begin() as connection:
                await connection.execute(update(ANSWERS).where(mine).values(renewals=ANSWERS.c.renewals + 1))
        async with read_connection(self.database) as connection:
            rows = await connection.execute(select(ANSWERS.c.token, ANSWERS.c.renewals).where(in_flight))
            others = {token: renewals for token, renewals in rows if token not in self._held_until}
        for token in self.lease_watch.expired_leases(others):
            unchanged = and_(ANSWERS.c.token == token, ANSWERS.c.renewals == others[token], in_flight)
            async with self.database.begin() as connection:
                await connection.execute(delete(ANSWERS).where(unchanged))

    async def reserve(self, owner: str, key: str, fingerprint: str) -> Reservation | StoredResponse:
        """Reserve the key for this request, or return the response that is stored under it.

        Args:
            fingerprint: SHA-256 of the request's content, as hex.

        Raises:
            Conflict: (409) if a request with this key is in progress.
            Unprocessable: (422) if the key belongs to another request.
        """
        reservation = Reservation(owner, key, uuid.uuid4().hex)
        row = {"fingerprint": fingerprint, "token": reservation.token, "until": time.time() + self.retention_s}
        this_key = and_(ANSWERS.c.owner == owner, ANSWERS.c.key == key)
        try:
            async with self.database.begin() as connection:
                await connection.execute(delete(ANSWERS).where(this_key, _is_expired()))
                await connection.execute(insert(ANSWERS).values(owner=owner, key=key, **row))
            self._held_until[reservation.token] = self.now() + self.timeout_s
            return reservation
        except IntegrityError:
            pass
        async with read_connection(self.database) as connection:
            found = (await connection.execute(select(ANSWERS).where(this_key))).mappings().first()
        if found is not None and found["fingerprint"] != fingerprint:
            raise Unprocessable(
                "This Idempotency-Key was used for another request. Use a new key for each request.",
                code="idempotency_key_reused",
            )
        if found is None or found["status"] is None:
            raise Conflict(
                "A request with this Idempotency-Key is still being processed. Send it again later to get its answer.",
                code="idempotency_in_flight",
                retry_after_s=RETRY_AFTER_S,
            )
        return StoredResponse(found["status"], found["headers"], found["body"])

    async def store(self, reservation: Reservation, response: StoredResponse) -> None:
        """Store the response, for every request that repeats this one.

        Raises:
            Conflict: (409) if another request has taken over the key. Its response is the one to send then.
        """
        async with self.database.begin() as connection:
            await self.store_in_transaction(connection, reservation, response)

    async def store_in_transaction(
        self, connection: AsyncConnection, reservation: Reservation, response: StoredResponse, job: str | None = None
    ) -> None:
        """Store the response in the caller's transaction, which must be rolled back if this raises Conflict (409).

        Args:
            job: the id of the job that the response describes. The response is deleted together with the job.
        """
        self._held_until.pop(reservation.token, None)
        until = time.time() + self.retention_s
        change = await connection.execute(
            update(ANSWERS)
            .where(_matches_reservation(reservation))
            .values(status=response.status, headers=response.headers, body=response.body, until=until, job=job)
        )
        if not change.rowcount:
            raise Conflict(
                "This request took too long: another one with the same Idempotency-Key is being processed now.",
                code="idempotency_in_flight",
                retry_after_s=RETRY_AFTER_S,
            )

    async def release(self, reservation: Reservation) -> None:
        """Free the key without a response."""
        self._held_until.pop(reservation.token, None)
        async with self.database.begin() as connection:
            await connection.execute(
                delete(ANSWERS).where(_matches_reservation(reservation), ANSWERS.c.status.is_(None))
            )

    async def delete_expired(self) -> None:
        """Delete the responses whose time is over."""
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
