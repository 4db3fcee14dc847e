"""Recordings that wait: in a folder, and in what fsspec has beside that."""

import os
import uuid
from pathlib import Path

import pytest

from app.core.audio.samples import create_unnamed_file
from app.jobs.blob_store import BlobStore


@pytest.fixture(params=["folder", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "deep" / "folder") if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


async def test_a_recording_comes_back_as_it_was_and_has_a_file_number(blobs: BlobStore) -> None:
    data = os.urandom(3_000_000)
    with create_unnamed_file(data) as file:
        name = await blobs.put(file)
    with await blobs.open(name) as found:
        assert found.fileno() >= 0
        assert found.read() == data


async def test_what_was_dropped_is_gone(blobs: BlobStore) -> None:
    with create_unnamed_file(b"x") as file:
        name = await blobs.put(file)
    for _ in range(2):
        await blobs.delete(name)
    with pytest.raises(FileNotFoundError):
        await blobs.open(name)


async def test_recordings_are_listed_by_their_age(blobs: BlobStore) -> None:
    assert await blobs.list_older(0) == set()
    with create_unnamed_file(b"x") as file:
        name = await blobs.put(file)
    assert await blobs.list_older(3600) == set()
    assert await blobs.list_older(-1) == {name}


async def test_a_recording_that_cannot_be_written_leaves_nothing(blobs: BlobStore) -> None:
    class Torn:
        sent = 0

        def seek(self, _: int) -> None: ...

        def read(self, count: int) -> bytes:
            self.sent += 1
            if self.sent > 2:
                raise OSError(5, "the disk is broken")
            return b"x" * count

    with pytest.raises(OSError, match="broken"):
        await blobs.put(Torn())  # type: ignore[arg-type]
    assert await blobs.list_older(-1) == set()


def test_a_place_that_nothing_opens_is_refused() -> None:
    with pytest.raises(ValueError, match="not a place where recordings can be stored"):
        BlobStore("carrier-pigeon://loft")
