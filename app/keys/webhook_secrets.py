"""The secrets that sign webhooks: those of the key that queued the job, or else the service's own.

A secret that is replaced continues to sign beside its successor for a while (Standard Webhooks: several signatures in
one header), so that a receiver can change at any moment in between. Signing needs the secret itself, so the database
holds it as plain text, unlike the keys. Knows nothing about jobs or deliveries.
"""

import base64
import binascii
import secrets
import time
from contextlib import suppress

from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.database.rows import read_connection
from app.database.tables import WEBHOOK_SECRETS
from app.settings import WebhookSettings, setting_name

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32


def parse_secret(text: str, setting: str) -> bytes:
    """Return the bytes of a secret's text. Raises ValueError, which names the setting, if the text is malformed."""
    with suppress(binascii.Error, ValueError):
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
        if text.startswith(SECRET_PREFIX) and 24 <= len(key) <= 64:
            return key
    raise ValueError(f"{setting} must be {SECRET_PREFIX} followed by 24 to 64 bytes in base64")


def service_secrets(settings: WebhookSettings) -> list[bytes]:
    """Return the service's own secret and the previous one, as far as they are set. Raises ValueError if one is
    malformed.
    """
    secrets_by_name = (("secret", settings.secret), ("previous_secret", settings.previous_secret))
    return [
        parse_secret(text, setting_name("webhooks", name))
        for name, secret in secrets_by_name
        if (text := secret.get_secret_value())
    ]


class WebhookSecrets:
    """The secrets in the database, by owner of jobs. default_secrets: those of owners who have none of their own."""

    def __init__(self, database: AsyncEngine, default_secrets: list[bytes]) -> None:
        self.database = database
        self.default_secrets = default_secrets

    async def signing_secrets(self, owner: str) -> list[bytes]:
        """Return the secrets to sign with for an owner, the newest first; empty if there is none."""
        columns = WEBHOOK_SECRETS.c
        query = select(columns.secret).where(columns.owner == owner, _is_valid(time.time()))
        async with read_connection(self.database) as connection:
            texts = (await connection.execute(query.order_by(columns.created.desc()))).scalars().all()
        return [parse_secret(text, "a webhook's secret") for text in texts] or self.default_secrets

    async def owners_with_secrets(self) -> set[str]:
        """Return the owners who have a secret of their own."""
        query = select(WEBHOOK_SECRETS.c.owner).where(_is_valid(time.time()))
        async with read_connection(self.database) as connection:
            return set((await connection.execute(query)).scalars())

    async def rotate(self, owner: str, overlap_s: float) -> str:
        """Create a secret for an owner, the first or the next, and return its text.

        Args:
            overlap_s: seconds for which the owner's present secret continues to sign.
        """
        text = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        now = time.time()
        columns = WEBHOOK_SECRETS.c
        newest = and_(columns.owner == owner, columns.expires.is_(None))
        async with self.database.begin() as connection:
            await connection.execute(delete(WEBHOOK_SECRETS).where(columns.owner == owner, ~_is_valid(now)))
            await connection.execute(update(WEBHOOK_SECRETS).where(newest).values(expires=now + overlap_s))
            await connection.execute(insert(WEBHOOK_SECRETS).values(owner=owner, secret=text, created=now))
        return text

    async def delete_expired(self) -> None:
        """Delete the secrets that no longer sign."""
        async with self.database.begin() as connection:
            await connection.execute(delete(WEBHOOK_SECRETS).where(~_is_valid(time.time())))


def _is_valid(now: float):  # type: ignore[no-untyped-def]
    return or_(WEBHOOK_SECRETS.c.expires.is_(None), WEBHOOK_SECRETS.c.expires > now)
