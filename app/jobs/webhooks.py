"""Tells a caller's server that a job has ended: signed, again and again until it is heard, then dead.

Signed as Standard Webhooks has it (https://www.standardwebhooks.com): `webhook-id`, `webhook-timestamp` and
`webhook-signature`, HMAC-SHA256 over `id.timestamp.body`, one signature for each secret that is valid. The id is the
same at every try, so that a receiver can tell a delivery that came twice; a 410 ends the tries. Several are sent at
once, a few of them to one host, and a host that does not answer is left alone for a while (`app.jobs.host_backoff`).
Knows nothing about jobs but whose they are.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import time
from collections import Counter
from collections.abc import Sequence

from sqlalchemy import RowMapping, and_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app import metrics
from app.core.errors import ServiceError
from app.database.rows import claim_row, read_connection
from app.database.tables import DELIVERIES, JOBS
from app.fetch.poster import DeliveryFailed, Poster
from app.jobs.host_backoff import HostBackoff
from app.jobs.store import DEAD, DELIVERED, PENDING
from app.jobs.wakeup import Wakeup
from app.keys.webhook_secrets import WebhookSecrets
from app.settings import WebhookSettings

log = logging.getLogger(__name__)

STATUS_GONE = 410
OVERLOAD_STATUSES = (429, 502, 503, 504)  # what a host says, or its proxy, that should be left alone for a while
EXPIRY_CHECK_SECONDS = 60  # between two looks for what waits for hosts that never answer


def signature_headers(secrets: Sequence[bytes], id_: str, timestamp: int, body: str) -> dict[str, str]:
    """The three headers of a delivery."""
    text = f"{id_}.{timestamp}.{body}".encode()
    digests = [hmac.new(secret, text, hashlib.sha256).digest() for secret in secrets]
    signatures = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
    return {"webhook-id": id_, "webhook-timestamp": str(timestamp), "webhook-signature": signatures}


class WebhookSender:
    """Delivers what is due. poster: bounds where it connects to."""

    def __init__(
        self, database: AsyncEngine, settings: WebhookSettings, secrets: WebhookSecrets, poster: Poster, poll_s: float
    ) -> None:
        self.database = database
        self.settings = settings
        self.secrets = secrets
        self.poster = poster
        self.poll_s = poll_s
        self.wakeup = Wakeup()
        self.host_backoff = HostBackoff(settings.delays, settings.per_host)
        # A delivery that only waits for its host is given up when all its tries would have been over.
        self.max_age_s = sum(settings.delays) + 2 * settings.seconds * (len(settings.delays) + 1)
        # One caller's receivers, however many hosts they are, leave places for those of others.
        self.max_per_caller = max(1, settings.at_once - max(1, settings.at_once // 4))
        self._in_flight: dict[str, str] = {}  # by a delivery's id, whose job it tells of
        self._last_expiry_check = time.monotonic()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tries:
            while True:
                self.wakeup.clear()
                try:
                    while len(self._in_flight) < self.settings.at_once and (delivery := await self._claim()):
                        owner, caller = await self._job_owner(delivery)
                        self._in_flight[delivery["id"]] = caller
                        self.host_backoff.start_attempt(delivery["host"])
                        tries.create_task(self._attempt(delivery, owner))
                    await self._expire_waiting()
                except ServiceError as error:
                    log.error("the webhooks wait for the database: %s", error)
                except Exception:
                    log.exception("the webhooks met a fault and go on")
                opening_s = self.host_backoff.next_retry_s()
                await self.wakeup.wait_with_timeout(self.poll_s if opening_s is None else min(self.poll_s, opening_s))

    async def _job_owner(self, delivery: RowMapping) -> tuple[str | None, str]:
        """The owner of the job, None if it is deleted and this with it; and by whom it is counted."""
        async with read_connection(self.database) as connection:
            query = select(JOBS.c.owner, JOBS.c.caller).where(JOBS.c.id == delivery["job"])
            found = (await connection.execute(query)).first()
        return (None, "") if found is None else (found.owner, found.caller)

    async def _attempt(self, delivery: RowMapping, owner: str | None) -> None:
        """One try of one delivery, and what comes of it."""
        answered = True
        try:
            answered = await self._deliver(delivery, owner)
        except Exception:
            log.exception("webhook %s met a fault and is tried again", delivery["id"])
        finally:
            del self._in_flight[delivery["id"]]
            self.host_backoff.end_attempt(delivery["host"], answered=answered)
            self.wakeup.set()

    async def _deliver(self, delivery: RowMapping, owner: str | None) -> bool:
        """Whether the host answers."""
        if owner is None:
            return True
        delivered, said, final, answered = await self._post(delivery, await self.secrets.signing_secrets(owner))
        tries = delivery["attempt"]
        over = final or tries > len(self.settings.delays)
        outcome = DELIVERED if delivered else DEAD if over else PENDING
        metrics.WEBHOOKS.labels(outcome if outcome != PENDING else "again").inc()
        due = time.time() + (0 if delivered or over else self.settings.delays[tries - 1])
        async with self.database.begin() as connection:
            change = update(DELIVERIES).where(DELIVERIES.c.id == delivery["id"], DELIVERIES.c.attempt == tries)
            await connection.execute(change.values(state=outcome, said=said, due=due))
        if outcome == DEAD:
            log.warning("webhook %s for job %s is given up: %s", delivery["id"], delivery["job"], said)
        return answered

    async def _claim(self) -> RowMapping | None:
        """The one that has been due longest of those whose host can be tried; nobody else tries it until this try must
        be over.
        """
        now = time.time()
        due = select(DELIVERIES.c.id).where(
            DELIVERIES.c.state == PENDING,
            DELIVERIES.c.due <= now,
            DELIVERIES.c.host.not_in(self.host_backoff.hosts_to_skip()),
            DELIVERIES.c.id.not_in(list(self._in_flight)),
        )
        if busy := [
            caller for caller, count in Counter(self._in_flight.values()).items() if count >= self.max_per_caller
        ]:
            due = due.where(DELIVERIES.c.job.not_in(select(JOBS.c.id).where(JOBS.c.caller.in_(busy))))
        async with read_connection(
            self.database
        ) as connection:  # most often there is none, and nobody has to wait for this
            if (await connection.execute(due.limit(1))).scalar() is None:
                return None
        return await claim_row(
            self.database,
            DELIVERIES,
            due.order_by(DELIVERIES.c.due),
            attempt=DELIVERIES.c.attempt + 1,
            due=now + 2 * self.settings.seconds,
        )

    async def _expire_waiting(self) -> None:
        """Give up what has waited too long for hosts that do not answer."""
        paused = self.host_backoff.paused_hosts()
        if not paused or time.monotonic() - self._last_expiry_check < EXPIRY_CHECK_SECONDS:
            return
        self._last_expiry_check = time.monotonic()
        waited = and_(
            DELIVERIES.c.state == PENDING,
            DELIVERIES.c.host.in_(paused),
            DELIVERIES.c.created < time.time() - self.max_age_s,
            DELIVERIES.c.id.not_in(list(self._in_flight)),
        )
        over = update(DELIVERIES).where(waited).values(state=DEAD, said="the host answered no webhook for too long")
        async with self.database.begin() as connection:
            given_up = (await connection.execute(over)).rowcount
        if given_up:
            metrics.WEBHOOKS.labels(DEAD).inc(given_up)
            log.warning("%d webhooks are given up: their hosts answered none for too long", given_up)

    async def _post(self, delivery: RowMapping, secrets: Sequence[bytes]) -> tuple[bool, str, bool, bool]:
        """Whether it was heard, what was said, whether no other try is wanted, whether the host answers."""
        if not secrets:
            return False, "there is no secret to sign with any more", False, True
        headers = signature_headers(secrets, delivery["id"], int(time.time()), delivery["body"])
        body = delivery["body"].encode()
        headers |= {"content-type": "application/json", "user-agent": "speechsum", "content-length": str(len(body))}
        try:
            async with asyncio.timeout(self.settings.seconds):
                status = await self.poster.post(delivery["url"], body, headers)
        except TimeoutError:
            return False, f"no answer within {self.settings.seconds:g} s", False, False
        except DeliveryFailed as error:
            return False, str(error), False, False
        return 200 <= status < 300, f"status {status}", status == STATUS_GONE, status not in OVERLOAD_STATUSES
