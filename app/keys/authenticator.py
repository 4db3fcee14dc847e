"""Authenticates API keys: finds out which key a text is, what it may do, and how much of it.

A key is in the settings or in the database. Knows nothing about HTTP.
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
from app.keys.vocabularies import VocabularyStore
from app.settings import AuthSettings, setting_name

log = logging.getLogger(__name__)

REQUESTS_QUOTA, AUDIO_QUOTA = "requests", "audio-seconds"
MINUTE_SECONDS, DAY_SECONDS = 60, 86_400
DIGEST_BYTES = 32
LOGGED_DIGITS = 8  # of a digest: enough to tell the keys of one service apart, and far too few to find a key
LAST_USE_SECONDS = 60  # the last use of a key is recorded at most this often


@dataclass(frozen=True)
class Key:
    """A key that is valid.

    Attributes:
        owner: the name under which its jobs, stored responses and quotas are kept. It reveals nothing of the key's
            text.
        scopes: what the key may do, of `app.keys.store.SCOPES`.
        quotas: its limits; a limit of 0 is left out.
        name: the name for the log: the one that it was created with, or the first digits of the digest of a key in the
            settings.
    """

    owner: str
    scopes: frozenset[str]
    quotas: tuple[Quota, ...]
    name: str = ""


class Authenticator:
    """The keys of the settings and, once connected, of the database.

    Raises:
        ValueError: if a key in the form `sha256:<hex digest>` is malformed.
    """

    def __init__(self, settings: AuthSettings) -> None:
        self.settings = settings
        self.keys_required = settings.required or bool(settings.keys)
        self._key_digests = _secret_digests(settings.keys, setting_name("auth", "keys"))
        self._admin_digests = _secret_digests(settings.admin_keys, setting_name("auth", "admin_keys"))
        self._store: KeyStore | None = None
        self._quota_counter: QuotaCounter | None = None
        self._vocabularies: VocabularyStore | None = None
        self._last_recorded: dict[str, float] = {}  # key id → when its use was last recorded, by the monotonic clock

    def connect(self, database: AsyncEngine) -> None:
        """Start to use the database. Must be called before keys are authenticated."""
        self._store, self._quota_counter = KeyStore(database), QuotaCounter(database)
        self._vocabularies = VocabularyStore(database)

    @property
    def vocabularies(self) -> VocabularyStore:
        """The vocabularies of the keys, by owner. The database must be connected."""
        assert self._vocabularies is not None
        return self._vocabularies

    async def authenticate(self, text: str) -> Key | None:
        """Return the key with this text; None if there is none, or it is revoked or expired."""
        digest = key_digest(text)
        # Every key is compared, each in constant time, so that the response time says nothing about the keys.
        if sum(hmac.compare_digest(digest, one) for one in [*self._key_digests, *self._admin_digests]):
            return self._settings_key(digest)
        assert self._store is not None
        stored = await self._store.find_valid(text)
        if stored is None:
            return None
        await self._record_use(stored.id)
        return self._database_key(stored)

    async def take_quota(self, key: Key | None, name: str, amount: float) -> None:
        """Take an amount from a key's quota of that name. Does nothing if the key has no such quota.

        Raises:
            TooManyRequests: (429, code "quota_exceeded") if less than the amount is left.
        """
        quota = next((one for one in key.quotas if one.name == name), None) if key else None
        if key is None or quota is None:
            return
        assert self._quota_counter is not None
        state = await self._quota_counter.take(key.owner, quota, amount)
        if state.granted:
            return
        exceeds_limit = amount > quota.limit
        raise TooManyRequests(
            f"Your key's quota is {quota.limit:g} {_quota_text(quota)}. This request takes {amount:g}, and "
            f"{state.remaining:g} are left for the next {state.reset_s:.0f} s."
            + (" The request exceeds the whole quota." if exceeds_limit else ""),
            code="quota_exceeded",
            retry_after_s=None if exceeds_limit else max(1.0, state.reset_s),
        )

    async def quota_states(self, key: Key) -> list[QuotaState]:
        """Return the state of each of the key's quotas."""
        assert self._quota_counter is not None
        return [await self._quota_counter.state(key.owner, quota) for quota in key.quotas]

    async def delete_expired(self) -> None:
        """Delete the counts of past windows."""
        if self._quota_counter is not None:
            await self._quota_counter.delete_expired()

    async def find_by_owner(self, owner: str) -> Key | None:
        """Return the key of an owner, whether it is still valid or not; None if there is none."""
        if not owner:
            return None
        for one in [*self._key_digests, *self._admin_digests]:
            if owner == one.hex():
                return self._settings_key(one)
        assert self._store is not None
        stored = await self._store.get(owner)
        return self._database_key(stored) if stored else None

    async def _record_use(self, id_: str) -> None:
        """Record that a key is used, at most once a minute. If the database fails, the caller is still let in."""
        now = time.monotonic()
        if now - self._last_recorded.get(id_, float("-inf")) < LAST_USE_SECONDS:
            return
        self._last_recorded[id_] = now
        assert self._store is not None
        try:
            await self._store.record_use(id_, time.time())
        except ServiceError as error:
            log.warning("The last use of the key %s could not be recorded: %s", id_, error)

    def _settings_key(self, digest: bytes) -> Key:
        scopes = SCOPES if digest in self._admin_digests else DEFAULT_SCOPES
        name = f"settings-{digest.hex()[:LOGGED_DIGITS]}"
        return Key(digest.hex(), frozenset(scopes), self._key_quotas(None, None), name)

    def _database_key(self, stored: StoredKey) -> Key:
        quotas = self._key_quotas(stored.requests_per_minute, stored.audio_minutes_per_day)
        return Key(stored.id, stored.scopes, quotas, stored.name)

    def _key_quotas(self, requests: int | None, minutes: float | None) -> tuple[Quota, ...]:
        requests = self.settings.requests_per_minute if requests is None else requests
        minutes = self.settings.audio_minutes_per_day if minutes is None else minutes
        quotas = (Quota(AUDIO_QUOTA, minutes * 60, DAY_SECONDS), Quota(REQUESTS_QUOTA, requests, MINUTE_SECONDS))
        return tuple(quota for quota in quotas if quota.limit)


def _secret_digests(secrets: list[SecretStr], setting: str) -> list[bytes]:
    """Return the SHA-256 of each key in a setting. The keys themselves are not kept."""
    digests = []
    for secret in secrets:
        text = secret.get_secret_value()
        digest = bytes.fromhex(text.removeprefix("sha256:")) if text.startswith("sha256:") else key_digest(text)
        if len(digest) != DIGEST_BYTES:
            raise ValueError(f"{setting}: 64 hexadecimal digits must follow sha256:")
        digests.append(digest)
    return digests


def _quota_text(quota: Quota) -> str:
    return f"{quota.name.replace('-', ' ')} per {'minute' if quota.window_s == MINUTE_SECONDS else 'day'}"
