"""Who a key's holder is: a key of the settings or a stored one; what it may do and how much of it.

Knows nothing about HTTP.
"""

import hmac
import logging
import time
from dataclasses import dataclass

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.errors import ServiceError, TooManyRequests
from app.keys.quotas import Quota, QuotaCounter, QuotaState
from app.keys.store import DEFAULT_SCOPES, SCOPES, KeyStore, StoredKey, key_digest
from app.settings import AuthSettings, setting_name

log = logging.getLogger(__name__)

REQUESTS_QUOTA, AUDIO_QUOTA = "requests", "audio-seconds"
MINUTE_SECONDS, DAY_SECONDS = 60, 86_400
DIGEST_BYTES = 32
LAST_USE_SECONDS = 60  # between two notes that a key is used


@dataclass(frozen=True)
class Key:
    """owner: under which jobs, kept answers and counts are its own; tells nothing of the key's text."""

    owner: str
    scopes: frozenset[str]
    quotas: tuple[Quota, ...]


class Authenticator:
    """The keys of the settings and of the database. Raises ValueError for a `sha256:` that is none."""

    def __init__(self, settings: AuthSettings) -> None:
        self.settings = settings
        self.keys_required = settings.required or bool(settings.keys)
        self._key_digests = _secret_digests(settings.keys, setting_name("auth", "keys"))
        self._admin_digests = _secret_digests(settings.admin_keys, setting_name("auth", "admin_keys"))
        self._store: KeyStore | None = None
        self._quota_counter: QuotaCounter | None = None
        self._last_noted: dict[
            str, float
        ] = {}  # by a key's id, when its use was last written down, of a monotonic clock

    def connect(self, database: AsyncEngine) -> None:
        """Begin to use the database."""
        self._store, self._quota_counter = KeyStore(database), QuotaCounter(database)

    async def authenticate(self, text: str) -> Key | None:
        """The key of this text, if it opens."""
        given = key_digest(text)
        # Every key is compared, each in constant time: the answer's time says nothing about the keys.
        if sum(hmac.compare_digest(given, one) for one in [*self._key_digests, *self._admin_digests]):
            return self._settings_key(given)
        assert self._store is not None
        stored = await self._store.find_valid(text)
        if stored is None:
            return None
        await self._note_use(stored.id)
        return self._database_key(stored)

    async def take_quota(self, key: Key | None, name: str, amount: float) -> None:
        """Take from a key's quota of that name; nothing where there is none. Raises TooManyRequests (429) if so much is
        not there.
        """
        quota = next((one for one in key.quotas if one.name == name), None) if key else None
        if key is None or quota is None:
            return
        assert self._quota_counter is not None
        found = await self._quota_counter.take(key.owner, quota, amount)
        if found.granted:
            return
        never = amount > quota.limit
        raise TooManyRequests(
            f"Your key's quota is {quota.limit:g} {_quota_text(quota)}. For {found.reset_s:.0f} s "
            f"{found.remaining:g} are left, "
            f"and this takes {amount:g}." + (" It never fits." if never else ""),
            code="quota_exceeded",
            retry_after_s=None if never else max(1.0, found.reset_s),
        )

    async def quota_states(self, key: Key) -> list[QuotaState]:
        """How a key's quotas stand."""
        assert self._quota_counter is not None
        return [await self._quota_counter.state(key.owner, quota) for quota in key.quotas]

    async def delete_expired(self) -> None:
        """Delete counts that are over."""
        if self._quota_counter is not None:
            await self._quota_counter.delete_expired()

    async def find_by_owner(self, owner: str) -> Key | None:
        """The key whose things are an owner's, whether it still opens or not."""
        if not owner:
            return None
        for one in [*self._key_digests, *self._admin_digests]:
            if owner == one.hex():
                return self._settings_key(one)
        assert self._store is not None
        stored = await self._store.get(owner)
        return self._database_key(stored) if stored else None

    async def _note_use(self, id_: str) -> None:
        """Write down that a key is used, once a minute at most. A database without room lets its holder in all the
        same.
        """
        now = time.monotonic()
        if now - self._last_noted.get(id_, float("-inf")) < LAST_USE_SECONDS:
            return
        self._last_noted[id_] = now
        assert self._store is not None
        try:
            await self._store.record_use(id_, time.time())
        except ServiceError as error:
            log.warning("the last use of the key %s could not be written down: %s", id_, error)

    def _settings_key(self, one: bytes) -> Key:
        return Key(
            one.hex(), frozenset(SCOPES if one in self._admin_digests else DEFAULT_SCOPES), self._key_quotas(None, None)
        )

    def _database_key(self, stored: StoredKey) -> Key:
        return Key(stored.id, stored.scopes, self._key_quotas(stored.requests_per_minute, stored.audio_minutes_per_day))

    def _key_quotas(self, requests: int | None, minutes: float | None) -> tuple[Quota, ...]:
        requests = self.settings.requests_per_minute if requests is None else requests
        minutes = self.settings.audio_minutes_per_day if minutes is None else minutes
        every = (Quota(AUDIO_QUOTA, minutes * 60, DAY_SECONDS), Quota(REQUESTS_QUOTA, requests, MINUTE_SECONDS))
        return tuple(quota for quota in every if quota.limit)


def _secret_digests(secrets: list[SecretStr], setting: str) -> list[bytes]:
    """SHA-256 of each key of a setting; the keys themselves are not kept."""
    found = []
    for secret in secrets:
        text = secret.get_secret_value()
        one = bytes.fromhex(text.removeprefix("sha256:")) if text.startswith("sha256:") else key_digest(text)
        if len(one) != DIGEST_BYTES:
            raise ValueError(f"{setting}: what follows sha256: must have 64 hexadecimal digits")
        found.append(one)
    return found


def _quota_text(quota: Quota) -> str:
    return f"{quota.name.replace('-', ' ')} a {'minute' if quota.window_s == MINUTE_SECONDS else 'day'}"
