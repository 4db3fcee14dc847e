"""Backup and restoration of what outlives the process: a SQLite database, and the recordings that its jobs still need.

The service may run meanwhile: SQLite copies a moment of the database, whatever is written beside it. A job may end
between the copy of its row and that of its recording, which is then gone; so the database is copied again until every
recording that it needs has been copied. Knows nothing about PostgreSQL, which has its own tools.
"""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from app.database.connection import configured_url
from app.database.revisions import check_revision, read_file_revision
from app.jobs.store import QUEUED, RUNNING
from app.settings import JobSettings, setting_name

DATABASE_NAME, RECORDINGS_NAME = "speechsum.db", "recordings"
MAX_ROUNDS = 10
FILES_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database


class BackupError(ValueError):
    """A backup cannot be made or restored. The message says why."""


@dataclass(frozen=True)
class Backup:
    """What a backup holds: the revision of its tables, and how many recordings wait in it."""

    revision: str | None
    recordings: int


def back_up(jobs: JobSettings, target: Path) -> Backup:
    """Copy database and recordings into a new folder. Blocks; the service may run.

    Raises:
        BackupError: if the database is not a SQLite file, the folder is not empty, or the copy is not whole.
    """
    source = _database_file(jobs)
    if not source.is_file():
        raise BackupError(f"there is no database {source}")
    if target.exists() and any(target.iterdir()):
        raise BackupError(f"the folder {target} is not empty")
    recordings, copies = _recordings_folder(jobs), target / RECORDINGS_NAME
    copies.mkdir(parents=True, exist_ok=True)
    copy = target / DATABASE_NAME
    for _ in range(MAX_ROUNDS):
        _copy_database(source, copy)
        needed = _needed_recordings(copy)
        if all([_copy_recording(recordings / name, copies / name) for name in needed]):
            break
    else:
        raise BackupError("the recordings of waiting jobs vanished again and again while they were copied")
    for name in {file.name for file in copies.iterdir()} - needed:
        (copies / name).unlink()
    return Backup(read_file_revision(copy), len(needed))


def restore(jobs: JobSettings, source: Path) -> Backup:
    """Put a backup in place of the database and recordings, where there are none. No service may be running.

    Raises:
        BackupError: if the folder holds no backup, or there is a database already.
        DatabaseUnusable: if a newer version of this program made the backup.
    """
    copy, target = source / DATABASE_NAME, _database_file(jobs)
    if not copy.is_file():
        raise BackupError(f"the folder {source} holds no backup: it has no {DATABASE_NAME}")
    if target.exists():
        raise BackupError(f"there is a database already: stop the service, and move {target} away")
    revision = read_file_revision(copy)
    check_revision(revision, str(copy))
    recordings = _recordings_folder(jobs)
    for folder in (target.parent, recordings):
        folder.mkdir(parents=True, exist_ok=True)
    names = _needed_recordings(copy)
    for name in names:
        _copy_recording(source / RECORDINGS_NAME / name, recordings / name)
    for ending in FILES_BESIDE:  # of another database, which SQLite would mix into this one
        target.with_name(target.name + ending).unlink(missing_ok=True)
    part = target.with_name(target.name + ".part")
    shutil.copyfile(copy, part)
    part.rename(target)
    return Backup(revision, len(names))


def _database_file(jobs: JobSettings) -> Path:
    url = make_url(configured_url(jobs))
    if url.get_backend_name() != "sqlite" or not url.database:
        raise BackupError(
            f"the database of {setting_name('jobs', 'database')} is not a SQLite file; back up PostgreSQL with pg_dump"
        )
    return Path(url.database)


def _recordings_folder(jobs: JobSettings) -> Path:
    if "://" in jobs.blobs:
        raise BackupError(
            f"the recordings are at {setting_name('jobs', 'blobs')}, which is not a folder of this machine; back them "
            "up with the tools of that place, and the database with the sqlite3 command `.backup`"
        )
    return Path(jobs.blobs) if jobs.blobs else jobs.folder / RECORDINGS_NAME


def _copy_database(source: Path, target: Path) -> None:
    """Copy one moment of a database that others may write into. The copy is one file, without a write-ahead log."""
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        (verdict,) = copy.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        raise BackupError(f"the database {source} is damaged: {verdict}")


def _needed_recordings(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT blob FROM jobs WHERE state IN (?, ?)", (QUEUED, RUNNING))
        return {name for (name,) in rows}


def _copy_recording(source: Path, target: Path) -> bool:
    """Copy a recording that is not copied yet; return False if it is gone."""
    if target.exists():
        return True
    part = target.with_name(target.name + ".part")
    try:
        shutil.copyfile(source, part)
    except FileNotFoundError:
        return False
    part.rename(target)
    return True
