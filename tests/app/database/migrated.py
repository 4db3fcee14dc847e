"""Databases with all tables and no rows, copied from one that was migrated once: a service whose tables are up to date
starts sooner.
"""

import asyncio
import tempfile
import threading
from functools import cache
from pathlib import Path

from app.database.connection import check_database, database_url
from tests.app.database.postgres import copy_of_database, postgres_url


def write_migrated_file(folder: Path) -> None:
    """Put a SQLite file where a service with this folder looks for one, unless there is one."""
    file = folder / "speechsum.db"
    if folder.is_dir() and not file.exists():
        file.write_bytes(_migrated_file())


def migrated_postgres_url() -> str:
    """Return the URL of a new PostgreSQL database. Skips, and says so, where PostgreSQL is not installed."""
    return copy_of_database(_migrated_postgres())


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        _migrate(database_url("", Path(folder)))
        return (Path(folder) / "speechsum.db").read_bytes()


@cache
def _migrated_postgres() -> str:
    url = postgres_url()
    _migrate(database_url(url, Path()))
    return url


def _migrate(url: str) -> None:
    """Bring the tables up to date in a thread: the caller's own may be running an event loop."""
    thread = threading.Thread(target=lambda: asyncio.run(check_database(url)))
    thread.start()
    thread.join()
