"""Tells a caller's server that a job has ended: signed, again and again until it is heard, then dead.

Signed as Standard Webhooks has it (https://www.standardwebhooks.com): `webhook-id`, `webhook-timestamp` and
`webhook-signature`, HMAC-SHA256 over `id.timestamp.body`. The id is the same at every try, so that a receiver can tell
a delivery that came twice; a 410 ends the tries. Knows nothing about jobs.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import time
from contextlib import suppress

from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app import metrics
from app.database.rows import claimed
from app.database.tables import DELIVERIES
from app.fetch.post import NotHeard, Poster
from app.jobs.news import News
from app.jobs.store import DEAD, DELIVERED, PENDING
from app.settings import WebhookSettings, setting_name

log = logging.getLogger(__name__)

PREFIX = "whsec_"
GONE = 410


def secret_of(settings: WebhookSettings) -> bytes | None:
    """The key that signs; None if there is none. Raises ValueError for one that is none."""
    text = settings.secret.get_secret_value()
    if not text:
        return None
    with suppress(binascii.Error, ValueError):
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
        if text.startswith(PREFIX) and 24 <= len(key) <= 64:
            return key
    raise ValueError(f"{setting_name('webhooks', 'secret')} must be {PREFIX} and 24 to 64 bytes in base64")


def signed(secret: bytes, id_: str, timestamp: int, body: str) -> dict[str, str]:
    """The three headers of a delivery."""
    digest = hmac.new(secret, f"{id_}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": id_, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


class Sender:
    """Delivers what is due. poster: bounds where it connects to."""

    def __init__(
        self, database: AsyncEngine, settings: WebhookSettings, secret: bytes, poster: Poster, poll_s: float
    ) -> None:
        self.database = database
        self.settings = settings
        self.secret = secret
        self.poster = poster
        self.poll_s = poll_s
        self.news = News()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.news.clear()
            try:
                if await self._next():
                    continue
            except Exception:
                log.exception("the webhooks met a fault and go on")
            await self.news.wait_at_most(self.poll_s)

    async def _next(self) -> bool:
        """Try the delivery that has been due longest; False if none is."""
        delivery = await self._claim()
        if delivery is None:
            return False
        delivered, said, final = await self._post(delivery)
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
        return True

    async def _claim(self) -> RowMapping | None:
        """One that is due; nobody else tries it until this try must be over."""
        now = time.time()
        due = select(DELIVERIES.c.id).where(DELIVERIES.c.state == PENDING, DELIVERIES.c.due <= now)
        return await claimed(
            self.database,
            DELIVERIES,
            due.order_by(DELIVERIES.c.due),
            attempt=DELIVERIES.c.attempt + 1,
            due=now + 2 * self.settings.seconds,
        )

    async def _post(self, delivery: RowMapping) -> tuple[bool, str, bool]:
        """Whether it was heard, what was said, whether no other try is wanted."""
        headers = signed(self.secret, delivery["id"], int(time.time()), delivery["body"])
        body = delivery["body"].encode()
        headers |= {"content-type": "application/json", "user-agent": "speechsum", "content-length": str(len(body))}
        try:
            async with asyncio.timeout(self.settings.seconds):
                status = await self.poster.post(delivery["url"], body, headers)
        except TimeoutError:
            return False, f"no answer within {self.settings.seconds:g} s", False
        except NotHeard as error:
            return False, str(error), False
        return 200 <= status < 300, f"status {status}", status == GONE
