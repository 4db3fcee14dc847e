"""Answers that are given once: a request repeated under the same `Idempotency-Key` gets the first one's answer.

As the IETF draft (draft-ietf-httpapi-idempotency-key-header) has it: the same key with another request is 422, with the
same request while the first is still worked on 409. Failures are not kept: who repeats after one is served. A request
holds its key by a lease that its service renews, so that the key of a service that died is soon free. Knows nothing
about HTTP frameworks.
"""

import contextlib
import time
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.database.rows import reading
from app.database.tables import ANSWERS
from app.errors import Conflict, Unprocessable

RETRY_AFTER_S = 1.0


@dataclass(frozen=True)
class Answer:
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


class Answers:
    """hold_s: longest that a request works on its answer. lease_s: how long a key stays with a service that has died.
    keep_s: how long the answer is kept.
    """

    def __init__(self, database: AsyncEngine, hold_s: float, lease_s: float, keep_s: float) -> None:
        self.database = database
        self.hold_s = hold_s
        self.lease_s = min(lease_s, hold_s)
        self.keep_s = keep_s
        self._held: dict[str, float] = {}  # tokens of what is worked on here, and the latest until which

    async def renew(self) -> None:
        """Renew the leases of what is worked on here; to be called well before they end. What is lost nevertheless is
        found out by `keep`.
        """
        now = time.time()
        self._held = {token: latest for token, latest in self._held.items() if now < latest}
        if self._held:
            mine = and_(ANSWERS.c.token.in_(list(self._held)), ANSWERS.c.status.is_(None))
            async with self.database.begin() as connection:
                await connection.execute(update(ANSWERS).where(mine).values(until=now + self.lease_s))

    async def reserve(self, owner: str, key: str, fingerprint: str) -> Reservation | Answer:
        """The key for this request alone; or the answer that it has. Raises Conflict (409), Unprocessable (422).

        fingerprint: SHA-256 of what is asked, as hex.
        """
        reservation = Reservation(owner, key, uuid.uuid4().hex)
        now = time.time()
        row = {"fingerprint": fingerprint, "token": reservation.token, "until": now + self.lease_s}
        try:
            async with self.database.begin() as connection:
                over = delete(ANSWERS).where(ANSWERS.c.owner == owner, ANSWERS.c.key == key, ANSWERS.c.until < now)
                await connection.execute(over)
                await connection.execute(insert(ANSWERS).values(owner=owner, key=key, **row))
            self._held[reservation.token] = now + self.hold_s
            return reservation
        except IntegrityError:
            pass
        async with reading(self.database) as connection:
            query = select(ANSWERS).where(ANSWERS.c.owner == owner, ANSWERS.c.key == key)
            found = (await connection.execute(query)).mappings().first()
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
        return Answer(found["status"], found["headers"], found["body"])

    async def keep(self, reservation: Reservation, answer: Answer) -> None:
        """The answer, from now on for everybody who repeats; unless the lease has run out and another has the key."""
        with contextlib.suppress(Conflict):
            async with self.database.begin() as connection:
                await self.keep_with(connection, reservation, answer)

    async def keep_with(self, connection: AsyncConnection, reservation: Reservation, answer: Answer) -> None:
        """`keep` as a part of the caller's transaction, which must not be if another has the key: Conflict (409)."""
        self._held.pop(reservation.token, None)
        until = time.time() + self.keep_s
        kept = await connection.execute(
            update(ANSWERS)
            .where(_mine(reservation))
            .values(status=answer.status, headers=answer.headers, body=answer.body, until=until)
        )
        if not kept.rowcount:
            raise Conflict(
                "This request took too long: another one with its Idempotency-Key is being worked on.",
                code="idempotency_in_flight",
                retry_after_s=RETRY_AFTER_S,
            )

    async def release(self, reservation: Reservation) -> None:
        """There is no answer to keep: the key is free again."""
        self._held.pop(reservation.token, None)
        async with self.database.begin() as connection:
            await connection.execute(delete(ANSWERS).where(_mine(reservation), ANSWERS.c.status.is_(None)))

    async def forget(self) -> None:
        """Delete what is over."""
        async with self.database.begin() as connection:
            await connection.execute(delete(ANSWERS).where(ANSWERS.c.until < time.time()))


def _mine(reservation: Reservation) -> Any:
    return and_(
        ANSWERS.c.owner == reservation.owner,
        ANSWERS.c.key == reservation.key,
        ANSWERS.c.token == reservation.token,
    )
