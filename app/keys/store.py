"""Keys that the operator created: `ssk_<id>_<secret>`, of which the database holds the id and the SHA-256 of the whole.

The secret has 256 random bits and therefore needs no slow hash. Knows nothing about HTTP or about quotas.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.database.rows import read_connection
from app.database.tables import KEYS

KEY_PREFIX = "ssk_"
SCOPES = ("summaries", "jobs", "admin")
DEFAULT_SCOPES = ("summaries", "jobs")
MAX_KEY_CHARACTERS = 200  # a longer text is not a key


@dataclass(frozen=True)
class StoredKey:
    """A key without its secret. Times are Unix seconds.

    Attributes:
        requests_per_minute: its own quota; None uses that of the settings, 0 means no limit.
        audio_minutes_per_day: its own quota; None uses that of the settings, 0 means no limit.
        expires: None if it never does.
        last_used: to within a minute; None if it was never used.
    """

    id: str
    name: str
    scopes: frozenset[str]
    requests_per_minute: int | None
    audio_minutes_per_day: float | None
    created: float
    expires: float | None
    revoked: float | None
    last_used: float | None = None

    def is_valid(self, now: float) -> bool:
        """Whether the key is neither revoked nor expired. now: Unix seconds."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class KeyStore:
    """The keys in the database."""

    def __init__(self, database: AsyncEngine) -> None:
        self.database = database

    async def create(
        self,
        name: str,
        scopes: Iterable[str] = DEFAULT_SCOPES,
        requests_per_minute: int | None = None,
        audio_minutes_per_day: float | None = None,
        lifetime_s: float | None = None,
    ) -> tuple[StoredKey, str]:
        """Create a key; return it and its text, which is not stored.

        Args:
            lifetime_s: seconds until the key expires; None never.

        Raises:
            ValueError: if there is no such scope.
        """
        scopes = sorted(set(scopes))
        if unknown := [scope for scope in scopes if scope not in SCOPES]:
            raise ValueError(f"there is no scope {', '.join(unknown)}; the scopes are {', '.join(SCOPES)}")
        id_ = secrets.token_hex(6)
        text = f"{KEY_PREFIX}{id_}_{secrets.token_urlsafe(32)}"
        now = time.time()
        row = {
            "id": id_,
            "name": name,
            "digest": key_digest(text).hex(),
            "scopes": scopes,
            "requests_per_minute": requests_per_minute,
            "audio_minutes_per_day": audio_minutes_per_day,
            "created": now,
            "expires": None if lifetime_s is None else now + lifetime_s,
        }
        async with self.database.begin() as connection:
            await connection.execute(insert(KEYS).values(**row))
        return _stored_key({**row, "revoked": None, "last_used": None}), text

    async def find_valid(self, text: str) -> StoredKey | None:
        """Return the key with this text if it is valid. Its digest is compared in constant time."""
        if not text.startswith(KEY_PREFIX) or len(text) > MAX_KEY_CHARACTERS:
            return None
        row = await self._row(text.removeprefix(KEY_PREFIX).partition("_")[0])
        known = row["digest"] if row is not None else ""
        if not hmac.compare_digest(key_digest(text).hex(), known) or row is None:
            return None
        key = _stored_key(row)
        return key if key.is_valid(time.time()) else None

    async def get(self, id_: str) -> StoredKey | None:
        """Return the key with this id, valid or not; None if there is none."""
        row = await self._row(id_)
        return None if row is None else _stored_key(row)

    async def list_keys(self) -> list[StoredKey]:
        """Return every key, also revoked ones, oldest first."""
        async with read_connection(self.database) as connection:
            rows = (await connection.execute(select(KEYS).order_by(KEYS.c.created))).mappings().all()
        return [_stored_key(row) for row in rows]

    async def revoke(self, id_: str) -> bool:
        """Revoke a key from the next request on. Returns False if there is no such key or it is revoked already."""
        async with self.database.begin() as connection:
            change = update(KEYS).where(KEYS.c.id == id_, KEYS.c.revoked.is_(None)).values(revoked=time.time())
            return bool((await connection.execute(change)).rowcount)

    async def record_use(self, id_: str, now: float) -> None:
        """Record that the key was used at `now`, in Unix seconds."""
        async with self.database.begin() as connection:
            await connection.execute(update(KEYS).where(KEYS.c.id == id_).values(last_used=now))

    async def _row(self, id_: str) -> RowMapping | None:
        async with read_connection(self.database) as connection:
            return (await connection.execute(select(KEYS).where(KEYS.c.id == id_))).mappings().first()


def key_digest(text: str) -> bytes:
    """Return the SHA-256 of a key's text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _stored_key(row: RowMapping | dict[str, object]) -> StoredKey:
    values = {name: row[name] for name in StoredKey.__dataclass_fields__}
    return StoredKey(**{**values, "scopes": frozenset(row["scopes"])})  # type: ignore[arg-type]
