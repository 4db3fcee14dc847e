"""Stores queued recordings until they are processed: in a folder, or wherever else fsspec reaches (`s3://bucket/path`).

A recording is written under a temporary name first, so that it is either complete or not there. Knows nothing about
jobs or audio.
"""

import asyncio
import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from app.core.audio.samples import create_unnamed_file, translate_disk_full
from app.core.errors import storage_full_error
from app.settings import setting_name

PARTIAL_SUFFIX = ".part"
BLOCK_BYTES = 1 << 20


class BlobStore:
    """Files by name under one URL.

    Raises:
        ValueError: if fsspec cannot open the URL.
    """

    def __init__(self, url: str) -> None:
        try:
            self.system, self.root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise ValueError(f"{url!r} is not a place where recordings can be stored: {error}") from None
        self.is_local = isinstance(self.system, LocalFileSystem)

    async def put(self, file: BinaryIO) -> str:
        """Store a copy of the file and return its new name. Raises Unavailable (503) if there is no room."""
        name = uuid.uuid4().hex
        await asyncio.to_thread(self._put, file, name)
        return name

    async def open(self, name: str) -> BinaryIO:
        """Open a recording as a file with a file descriptor. Raises FileNotFoundError if it is not there."""
        return await asyncio.to_thread(self._open, name)

    async def delete(self, name: str) -> None:
        """Delete a recording. Does nothing if it is not there."""
        await asyncio.to_thread(self._delete, self._path(name))

    async def list_older(self, older_s: float) -> set[str]:
        """Return the names of the recordings, complete or not, that are older than `older_s` seconds by their place's
        clock, which may differ from this host's.
        """
        return await asyncio.to_thread(self._list_older, older_s)

    def _put(self, file: BinaryIO, name: str) -> None:
        part = self._path(name) + PARTIAL_SUFFIX
        file.seek(0)
        with _raise_storage_full():
            self.system.makedirs(self.root, exist_ok=True)
            try:
                with self.system.open(part, "wb") as target:
                    shutil.copyfileobj(file, target, BLOCK_BYTES)
                    if self.is_local:
                        target.flush()
                        os.fsync(target.fileno())
            except BaseException:
                self._delete(part)
                raise
            self.system.mv(part, self._path(name))

    def _open(self, name: str) -> BinaryIO:
        if self.is_local:
            return Path(self._path(name)).open("rb")
        file = create_unnamed_file()
        try:
            with translate_disk_full(), self.system.open(self._path(name), "rb") as source:
                shutil.copyfileobj(source, file, BLOCK_BYTES)
            file.flush()
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def _delete(self, path: str) -> None:
        if self.system.exists(path):
            self.system.rm_file(path)

    def _list_older(self, older_s: float) -> set[str]:
        if not self.system.exists(self.root):
            return set()
        paths = self.system.ls(self.root, detail=False)
        now = time.time()
        return {path.rsplit("/", 1)[-1] for path in paths if now - _modified_time(self.system, path) >= older_s}

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"


@contextmanager
def _raise_storage_full() -> Iterator[None]:
    """Raise Unavailable (503, code "disk_full") if the block fails because the storage has no room."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        place = f"{setting_name('jobs', 'folder')} or {setting_name('jobs', 'blobs')}"
        raise storage_full_error("this recording until its turn comes", place) from error


def _modified_time(system: Any, path: str) -> float:
    try:
        return float(system.modified(path).timestamp())
    except FileNotFoundError:  # another service has just deleted it
        return time.time()
