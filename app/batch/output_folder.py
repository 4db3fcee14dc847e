"""The folder of a batch's rows, which has exactly one row for each recording, however often the batch is interrupted.

One process writes it. Rows are collected and written as a part, a file that is there whole or not at all: on a disk it
is renamed when it is complete, and an object store shows only complete objects. What is not in a part has not happened,
so a resumed batch does those recordings again. A recording that comes a second time, because Ray lost a worker after
the work and before the answer, is dropped.

    part-20261130T181500-3f2a-00001.parquet    rows
    _batch.json                                what the rows were asked for
    _lock                                      held by the process that writes, in a folder on a disk

Knows nothing about Ray, nor about how rows are made.
"""

import fcntl
import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from fsspec.implementations.local import LocalFileSystem

from app.batch.inputs import open_file_system
from app.batch.part_files import PART_FORMATS, FileFormat
from app.batch.rows import Row

PART_ROWS = 1000
PART_SECONDS = 30.0
DESCRIPTION, LOCK = "_batch.json", "_lock"
PART_PREFIX, TEMPORARY_PREFIX = "part-", "_writing-"


class OutputRefused(ValueError):
    """The folder cannot take the rows. The message is a full sentence."""


class OutputFolder:
    """The rows of a batch in a folder. Used as a context manager: leaving it writes what is left.

    Attributes:
        finished: The URIs that have a row.
        errors: Number of these rows that are errors.
    """

    def __init__(
        self,
        place: str,
        file_format: FileFormat,
        asked: dict[str, Any],
        *,
        part_rows: int = PART_ROWS,
        part_seconds: float = PART_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Describe the folder, without touching it.

        Args:
            place: A path or a URL of fsspec.
            file_format: The format of the parts.
            asked: What the rows are asked for, as JSON. Rows that were asked for otherwise are not mixed with them.
            part_rows: Rows after which a part is written.
            part_seconds: Age of the oldest row at which a part is written. As much work is lost with the process.
            clock: Returns seconds, from any starting point.
        """
        self.finished: set[str] = set()
        self.errors = 0
        self._place = place
        self._format = PART_FORMATS[file_format]
        self._suffix = f".{file_format}"
        self._asked = json.loads(json.dumps({"file_format": file_format, **asked}))  # tuples as lists, to be compared
        self._part_rows, self._part_seconds, self._clock = part_rows, part_seconds, clock
        self._system, self._path = open_file_system(place)
        self._is_local = isinstance(self._system, LocalFileSystem)
        self._run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:4]}"
        self._parts = 0
        self._rows: list[Row] = []
        self._oldest_at = 0.0
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        """Create the folder, or read what a previous run has done.

        Raises:
            OutputRefused: If another process writes the folder, if its rows were asked for otherwise, or if it holds
                files but no rows.
        """
        self._system.makedirs(self._path, exist_ok=True)
        if self._is_local:
            self._acquire_lock()
        try:
            self._compare_description()
            for part in self._list_parts():
                with self._system.open(part, "rb") as file:
                    for row in self._format.read_columns(file, ("uri", "error_code")):
                        self.finished.add(row["uri"])
                        self.errors += row["error_code"] is not None
        except BaseException:
            self._release_lock()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self.write_part()
        finally:
            self._release_lock()

    def add(self, row: Row) -> bool:
        """Take a row, and write a part if it is time for one. Returns False if the recording has a row already."""
        if row["uri"] in self.finished:
            return False
        if not self._rows:
            self._oldest_at = self._clock()
        self._rows.append(row)
        self.finished.add(row["uri"])
        self.errors += row["error_code"] is not None
        if len(self._rows) >= self._part_rows or self._clock() - self._oldest_at >= self._part_seconds:
            self.write_part()
        return True

    def write_part(self) -> None:
        """Write the rows that are not in a part yet."""
        if self._rows:
            self._parts += 1
            name = f"{PART_PREFIX}{self._run}-{self._parts:05}{self._suffix}"
            self._write_file(f"{self._path}/{name}", self._format.encode(self._rows))
            self._rows = []

    def forget_errors(self) -> int:
        """Remove the rows that are errors, so that their recordings are tried again. Returns how many there were."""
        forgotten = 0
        for part in self._list_parts():
            with self._system.open(part, "rb") as file:
                rows = self._format.read(file)
            kept = [row for row in rows if row["error_code"] is None]
            if len(kept) == len(rows):
                continue
            if kept:
                self._write_file(part, self._format.encode(kept))
            else:
                self._system.rm_file(part)
            self.finished -= {row["uri"] for row in rows} - {row["uri"] for row in kept}
            forgotten += len(rows) - len(kept)
        self.errors -= forgotten
        return forgotten

    def _list_parts(self) -> list[str]:
        # Listings may be cached, and another run may have written since.
        self._system.invalidate_cache()
        found = (str(path) for path in self._system.ls(self._path, detail=False))
        return sorted(path for path in found if path.rsplit("/", 1)[-1].startswith(PART_PREFIX))

    def _compare_description(self) -> None:
        """Write down what the rows are asked for, or compare it with what a previous run has written."""
        place = f"{self._path}/{DESCRIPTION}"
        if not self._system.exists(place):
            if any(path.endswith(self._suffix) for path in self._list_parts()):
                raise OutputRefused(f"{self._place} has parts of a batch, but no {DESCRIPTION}. Take another folder.")
            self._write_file(place, json.dumps(self._asked, ensure_ascii=False, indent=2).encode())
            return
        found = json.loads(self._system.cat_file(place))
        changed = [name for name in {**found, **self._asked} if found.get(name) != self._asked.get(name)]
        if changed:
            differences = "; ".join(
                f"{name} was {found.get(name)!r} and is now {self._asked.get(name)!r}" for name in changed
            )
            raise OutputRefused(
                f"{self._place} has rows that were asked for otherwise: {differences}. Take another folder."
            )

    def _write_file(self, place: str, content: bytes) -> None:
        """Write a file that is there whole or not at all."""
        if not self._is_local:
            self._system.pipe_file(place, content)
            return
        target = Path(place)
        temporary = target.with_name(f"{TEMPORARY_PREFIX}{target.name}")
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)

    def _acquire_lock(self) -> None:
        self._lock = Path(self._path, LOCK).open("w")  # noqa: SIM115 - it is held until the folder is left
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._release_lock()
            raise OutputRefused(f"Another batch is writing to {self._place}. Wait for it, or stop it.") from None

    def _release_lock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()
