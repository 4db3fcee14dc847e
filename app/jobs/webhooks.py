"""Sends webhooks, which tell a caller's server that a job has ended.

A webhook is signed as Standard Webhooks specifies (https://www.standardwebhooks.com): the headers `webhook-id`,
`webhook-timestamp` and `webhook-signature`, the last with one signature for each secret that is valid. The id is the
same at every attempt, so that a receiver can recognize a delivery that came twice. A delivery is tried again until the
receiver accepts it, answers 410, or the last attempt has failed. Several deliveries are sent at the same time, a few of
them to one host, and a host that does not answer is left alone for a while (`app.jobs.host_backoff`). Of jobs this
module knows only their owners and callers.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime

from sqlalchemy import RowMapping, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from standardwebhooks import Webhook

from app.core.errors import ServiceError
from app.database.rows import claim_row, read_connection
from app.database.tables import DELIVERIES, JOBS
from app.fetch.poster import DeliveryFailed, Poster
from app.jobs import metrics
from app.jobs.host_backoff import HostBackoff
from app.jobs.store import DEAD, DELIVERED, PENDING
from app.jobs.wakeup import Wakeup
from app.keys.webhook_secrets import WebhookSecrets
from app.settings import WebhookSettings

log = logging.getLogger(__name__)

STATUS_GONE = 410
OVERLOAD_STATUSES = (429, 502, 503, 504)  # a host or its proxy answers these when it should be left alone for a while
EXPIRY_CHECK_SECONDS = 60  # between two checks for deliveries that wait for hosts which never answer
# Clocks of services that share a database may differ by this, and a claim may wait this long for the database.
MAX_CLOCK_DIFFERENCE_S = 60.0


def signature_headers(secrets: Sequence[bytes], id_: str, timestamp: int, body: str) -> dict[str, str]:
    """Return the three headers of a delivery.

    Args:
        secrets: the keys to sign with. Each adds one signature.
        id_: the delivery's id.
        timestamp: the time of this attempt, in Unix seconds.
        body: the text that is sent.
    """
    moment = datetime.fromtimestamp(timestamp, UTC)
    signatures = " ".join(Webhook(secret).sign(id_, moment, body) for secret in secrets)
    return {"webhook-id": id_, "webhook-timestamp": str(timestamp), "webhook-signature": signatures}


@dataclass(frozen=True)
class _Outcome:
    """What one attempt met with. stop_retrying: the receiver wants no further attempt. host_answers: whether the host
    is up, whatever it said.
    """

    message: str
    _: KW_ONLY
    delivered: bool = False
    stop_retrying: bool = False
    host_answers: bool


class WebhookSender:
    """Sends the deliveries that are due.

    Args:
        poster: sends the requests, and decides which addresses it may connect to.
        poll_s: seconds between two looks for deliveries that other services queued.
    """

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
        # A delivery that only waits for its host is given up once all its attempts would have been over.
        self.max_age_s = sum(settings.delays) + 2 * settings.seconds * (len(settings.delays) + 1)
        # No delivery is due later than this from now, unless the clock was set back since: then it is due at once. What
        # another service has claimed a moment ago, by a clock that is a little ahead, must not count as that.
        self.max_ahead_s = max([2 * settings.seconds, *settings.delays]) + MAX_CLOCK_DIFFERENCE_S
        # The receivers of one caller, on however many hosts, must leave places for those of other callers.
        self.max_per_caller = max(1, settings.at_once - max(1, settings.at_once // 4))
        self._in_flight: dict[str, str] = {}  # a delivery's id → the caller whose job it tells of
        self._last_expiry_check = time.monotonic()

    async def run(self) -> None:
        """Send deliveries until cancelled."""
        async with asyncio.TaskGroup() as attempts:
            while True:
                self.wakeup.clear()
                try:
                    while len(self._in_flight) < self.settings.at_once and (delivery := await self._claim()):
                        owner, caller = await self._job_owner(delivery)
                        self._in_flight[delivery["id"]] = caller
                        self.host_backoff.start_attempt(delivery["host"])
                        attempts.create_task(self._attempt(delivery, owner))
                    await self._expire_waiting()
                except ServiceError as error:
                    log.error("Webhooks wait for the database: %s", error)
                except Exception:
                    log.exception("Looking for webhooks to send failed; the sender continues.")
                retry_s = self.host_backoff.next_retry_s()
                await self.wakeup.wait_with_timeout(self.poll_s if retry_s is None else min(self.poll_s, retry_s))

    async def _job_owner(self, delivery: RowMapping) -> tuple[str | None, str]:
        """Return the owner and the caller of the delivery's job; the owner is None if the job was deleted."""
        async with read_connection(self.database) as connection:
            query = select(JOBS.c.owner, JOBS.c.caller).where(JOBS.c.id == delivery["job"])
            found = (await connection.execute(query)).first()
        return (None, "") if found is None else (found.owner, found.caller)

    async def _attempt(self, delivery: RowMapping, owner: str | None) -> None:
        """Make one attempt at a delivery, and note how the host behaved."""
        answered = True
        try:
            answered = await self._deliver(delivery, owner)
        except Exception:
            log.exception("Sending the webhook %s failed; it will be tried again.", delivery["id"])
        finally:
            del self._in_flight[delivery["id"]]
            self.host_backoff.end_attempt(delivery["host"], answered=answered)
            self.wakeup.set()

    async def _deliver(self, delivery: RowMapping, owner: str | None) -> bool:
        """Send a delivery and record the outcome; return whether the host answers."""
        if owner is None:
            return True
        started_at = time.perf_counter()
        outcome = await self._post(delivery, await self.secrets.signing_secrets(owner))
        attempt = delivery["attempt"]
        is_last = outcome.stop_retrying or attempt > len(self.settings.delays)
        state = DELIVERED if outcome.delivered else DEAD if is_last else PENDING
        outcome_label = state if state != PENDING else metrics.TRY_AGAIN
        metrics.WEBHOOKS.labels(outcome_label).inc()
        metrics.WEBHOOK_DURATION.labels(outcome_label).observe(time.perf_counter() - started_at)
        due = time.time() + (self.settings.delays[attempt - 1] if state == PENDING else 0)
        async with self.database.begin() as connection:
            change = update(DELIVERIES).where(DELIVERIES.c.id == delivery["id"], DELIVERIES.c.attempt == attempt)
            await connection.execute(change.values(state=state, said=outcome.message, due=due))
        if state == DEAD:
            log.warning(
                "The webhook %s for the job %s is given up: %s.", delivery["id"], delivery["job"], outcome.message
            )
        return outcome.host_answers

    async def _claim(self) -> RowMapping | None:
        """Claim the delivery that has been due longest, of those whose host may be tried; None if nothing is due.

        Nobody else tries the delivery until this attempt must be over.
        """
        now = time.time()
        due = select(DELIVERIES.c.id).where(
            DELIVERIES.c.state == PENDING,
            or_(DELIVERIES.c.due <= now, DELIVERIES.c.due > now + self.max_ahead_s),
            DELIVERIES.c.host.not_in(self.host_backoff.hosts_to_skip()),
            DELIVERIES.c.id.not_in(list(self._in_flight)),
        )
        if busy := [
            caller for caller, count in Counter(self._in_flight.values()).items() if count >= self.max_per_caller
        ]:
            due = due.where(DELIVERIES.c.job.not_in(select(JOBS.c.id).where(JOBS.c.caller.in_(busy))))
        # Most often nothing is due. A read finds that out without waiting for writers.
        async with read_connection(self.database) as connection:
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
        """Give up deliveries that have waited too long for hosts that do not answer."""
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
        give_up = update(DELIVERIES).where(waited).values(state=DEAD, said="the host answered no webhook for too long")
        async with self.database.begin() as connection:
            count = (await connection.execute(give_up)).rowcount
        if count:
            metrics.WEBHOOKS.labels(DEAD).inc(count)
            log.warning("%d webhooks are given up because their hosts have not answered for too long.", count)

    async def _post(self, delivery: RowMapping, secrets: Sequence[bytes]) -> _Outcome:
        """Sign and send one delivery."""
        if not secrets:
            return _Outcome("there is no secret to sign with any more", host_answers=True)
        headers = signature_headers(secrets, delivery["id"], int(time.time()), delivery["body"])
        body = delivery["body"].encode()
        headers |= {"content-type": "application/json", "user-agent": "speechsum", "content-length": str(len(body))}
        try:
            async with asyncio.timeout(self.settings.seconds):
                status = await self.poster.post(delivery["url"], body, headers)
        except TimeoutError:
            return _Outcome(f"no answer within {self.settings.seconds:g} s", host_answers=False)
        except DeliveryFailed as error:
            return _Outcome(str(error), host_answers=False)
        return _Outcome(
            f"status {status}",
            delivered=200 <= status < 300,
            stop_retrying=status == STATUS_GONE,
            host_answers=status not in OVERLOAD_STATUSES,
        )
