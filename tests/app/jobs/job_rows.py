"""Rows put into the queue and read from it by hand."""

import itertools
import uuid
from typing import Any

from sqlalchemy import select

from app.database.tables import DELIVERIES
from app.jobs.store import QUEUED, Job, JobStore

_moments = itertools.count(1)


async def queue(store: JobStore, **values: Any) -> str:
    """A queued job; returns its id."""
    given: dict[str, Any] = {
        "id": f"job-{uuid.uuid4().hex}",
        "owner": "",
        "state": QUEUED,
        "created": float(next(_moments)),
        "fields": [["language", "de"]],
        "blob": "blob",
        "blob_bytes": 3_000_000_000,
    }
    job = Job(**given | values)
    async with store.database.begin() as connection:
        await store.add(job, connection)
    return job.id


async def deliveries(store: JobStore) -> list[dict[str, Any]]:
    """All webhooks, in whatever state."""
    async with store.database.connect() as connection:
        return [dict(row) for row in (await connection.execute(select(DELIVERIES))).mappings()]
