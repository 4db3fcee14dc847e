"""Keys in the database: made, found, revoked, over; never their text."""

import time

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.database.tables import KEYS
from app.keys.store import KEY_PREFIX, KeyStore, key_digest


async def test_a_key_is_found_by_its_text_and_only_its_digest_is_kept(database: AsyncEngine) -> None:
    store = KeyStore(database)
    made, text = await store.create("anna", ["jobs"], requests_per_minute=7)
    assert await store.find_valid(text) == made
    assert (made.name, made.scopes, made.requests_per_minute, made.audio_minutes_per_day) == ("anna", {"jobs"}, 7, None)
    async with database.connect() as connection:
        (row,) = (await connection.execute(select(KEYS))).mappings()
    assert row["digest"] == key_digest(text).hex()
    assert text not in str(dict(row))
    assert text.rpartition("_")[2] not in str(dict(row))


async def test_two_keys_are_never_alike(database: AsyncEngine) -> None:
    store = KeyStore(database)
    texts = {(await store.create("same name"))[1] for _ in range(20)}
    assert len(texts) == 20
    assert len(await store.list_keys()) == 20


@pytest.mark.parametrize(
    "change", ["{text}x", "x{text}", "{text:.40}", "ssk_", "ssk__", "ssk_{id}_", "", "{text}\ud800"]
)
async def test_what_is_no_key_opens_nothing(database: AsyncEngine, change: str) -> None:
    store = KeyStore(database)
    made, text = await store.create("anna")
    assert await store.find_valid(change.format(text=text, id=made.id)) is None


async def test_another_secret_under_a_known_id_opens_nothing(database: AsyncEngine) -> None:
    store = KeyStore(database)
    (one, _), (_, other) = await store.create("one"), await store.create("other")
    assert await store.find_valid(f"{KEY_PREFIX}{one.id}_{other.split('_', 2)[2]}") is None


async def test_a_revoked_key_opens_nothing_and_is_still_listed(database: AsyncEngine) -> None:
    store = KeyStore(database)
    made, text = await store.create("anna")
    assert await store.revoke(made.id)
    assert not await store.revoke(made.id), "it was revoked before"
    assert not await store.revoke("nobody")
    assert await store.find_valid(text) is None
    (listed,) = await store.list_keys()
    assert listed.revoked is not None
    assert not listed.is_valid(time.time())


async def test_a_key_is_over_at_its_time(database: AsyncEngine) -> None:
    store = KeyStore(database)
    over, text = await store.create("anna", lifetime_s=-1)
    assert await store.find_valid(text) is None
    assert not over.is_valid(time.time())
    assert await store.find_valid((await store.create("bob", lifetime_s=60))[1]) is not None


async def test_a_scope_that_there_is_not_is_refused(database: AsyncEngine) -> None:
    with pytest.raises(ValueError, match="no scope cook; the scopes are summaries, jobs, admin"):
        await KeyStore(database).create("anna", ["jobs", "cook"])
