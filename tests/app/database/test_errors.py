"""What callers see of a database that is gone, full or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from app.jobs.blob_store import BlobStore
from tests.app.api.test_jobs import JOBS, post, queue_job
from tests.app.running_service import Site, code, serving


@pytest.mark.parametrize("how", ["deleted", "replaced", "moved and put back"])
async def test_a_database_file_that_is_not_there_any_more_is_noticed(how: str, tmp_path: Path) -> None:
    async with serving(jobs={"folder": str(tmp_path), "workers": 0}) as site:
        made = await queue_job(site)
        assert (await site.client.get("/readyz")).status_code == 200
        file, elsewhere = tmp_path / "speechsum.db", tmp_path / "elsewhere"
        file.rename(elsewhere)
        if how == "replaced":
            file.write_bytes(b"")
        for response in (
            await site.client.get("/readyz"),
            await post(site),
            await site.client.get(f"{JOBS}/{made['id']}"),
            await site.client.delete(f"{JOBS}/{made['id']}"),
            await site.post(headers={"idempotency-key": "one"}),
        ):
            assert code(response) == (503, "database_lost")
            assert int(response.headers["retry-after"]) > 0
            assert "SPEECHSUM_JOBS__FOLDER" in response.json()["error"]["message"]
        assert file.exists() == (how == "replaced"), "no empty one is made in its place"
        assert (await site.client.get("/livez")).status_code == 200
        assert (await site.post()).status_code == 200, "what needs no database is served"
        if how == "moved and put back":
            elsewhere.rename(file)
            assert (await site.client.get("/readyz")).status_code == 200
            assert (await site.client.get(f"{JOBS}/{made['id']}")).json()["state"] == "queued"


async def test_a_full_disk_under_the_database_says_when_to_come_again() -> None:
    async with serving(jobs={"workers": 0}, auth={"keys": ["anna"]}) as site:
        site.client.headers["authorization"] = "Bearer anna"
        with full(site):
            response = await fill_disk(site)
            assert code(response) == (503, "disk_full")
            assert int(response.headers["retry-after"]) > 0
            assert response.headers["x-should-retry"] == "true"
            assert "SPEECHSUM_JOBS__FOLDER" in response.json()["error"]["message"]
        assert (await post(site)).status_code == 202
        assert (await site.client.get("/readyz")).status_code == 200


async def fill_disk(site: Site) -> Any:
    """The first answer that is no 202, to jobs with much text."""
    for _ in range(100):
        response = await post(site, instructions="x" * 2000)
        if response.status_code != 202:
            return response
    raise AssertionError("the disk is not full")


@contextmanager
def full(site: Site) -> Iterator[None]:
    """As long as the block lasts the database may not grow, which SQLite reports as it reports a full disk."""
    engine = site.jobs.database.sync_engine

    def forbid_growth(connection: Any) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count=1")

    def allow_growth(connection: Any) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")

    event.listen(engine, "begin", forbid_growth)
    try:
        yield
    finally:
        event.remove(engine, "begin", forbid_growth)
        event.listen(engine, "begin", allow_growth)


async def test_a_full_disk_under_the_recordings_says_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_: BlobStore, *__: object) -> None:
        raise OSError(28, os.strerror(28))

    async with serving(jobs={"workers": 0}) as site:
        monkeypatch.setattr(type(site.jobs.blobs.system), "open", no_room)
        response = await post(site)
        assert code(response) == (503, "disk_full")
        assert int(response.headers["retry-after"]) > 0
        message = response.json()["error"]["message"]
        assert "SPEECHSUM_JOBS__FOLDER" in message
        assert "TMPDIR" not in message
        monkeypatch.undo()
        assert (await post(site)).status_code == 202


async def test_one_caller_cannot_fill_the_queue() -> None:
    limits = {"workers": 0, "max_waiting": 4, "max_waiting_per_caller": 2}
    async with serving(auth={"keys": ["anna", "bob"]}, jobs=limits) as site:
        anna, bob = ({"authorization": f"Bearer {name}"} for name in ("anna", "bob"))
        ids = [(await post(site, headers=anna)).json()["id"] for _ in range(2)]
        refused = await post(site, headers=anna)
        assert code(refused) == (429, "too_many_jobs")
        assert int(refused.headers["retry-after"]) > 0
        assert "SPEECHSUM_JOBS__MAX_WAITING_PER_CALLER" in refused.json()["error"]["message"]
        assert (await post(site, headers=bob)).status_code == 202
        await site.client.delete(f"{JOBS}/{ids[0]}", headers=anna)
        assert (await post(site, headers=anna)).status_code == 202


async def test_without_keys_callers_are_told_apart_by_their_address() -> None:
    async with serving(jobs={"workers": 0, "max_waiting_per_caller": 1}) as site:
        await queue_job(site)
        assert code(await post(site)) == (429, "too_many_jobs")
        (job,) = await site.jobs.store.page("", None, None, 9)
        assert "127.0.0.1" not in job.caller, "an address is not kept"
