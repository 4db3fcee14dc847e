"""Errors of the database that a caller can read: no room, no answer, a file that is gone.

If the database cannot be used now, every request of it raises `Unavailable` (503) with a time to try again. Violated
constraints and faulty statements pass unchanged. Knows nothing about rows.
"""

import logging
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, InterfaceError, NotSupportedError, ProgrammingError

from app.core.errors import Unavailable, storage_full_error
from app.settings import setting_name

log = logging.getLogger(__name__)

RETRY_AFTER_S = 30
UNTRANSLATED_ERRORS = (IntegrityError, ProgrammingError, DataError, NotSupportedError)
# With less free space, an I/O error of SQLite means a full disk. SQLite does not say so for its shared memory.
DISK_FULL_BYTES = 1 << 20
POSTGRES_DISK_FULL = "53100"  # PostgreSQL's error code


class DatabaseUnusable(ValueError):
    """The service cannot start with this database. The message tells the operator why."""


class DatabaseFile:
    """The file of a SQLite database, which somebody may delete or replace while it is open.

    SQLite would continue to write into a file without a name, and everything in it would be lost when the process ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity = _file_identity(path)
        self._was_lost = False

    def check(self) -> None:
        """Raise Unavailable (503, code "database_lost") if the file at the path is not the one that was opened."""
        lost = _file_identity(self.path) != self._identity
        if lost and not self._was_lost:
            log.error("The database %s was deleted or replaced while it was open. Restart the service.", self.path)
        self._was_lost = lost
        if lost:
            raise Unavailable(
                "The database file was deleted or replaced while the service ran, so nothing can be stored. The "
                "operator must restore the file or restart the service with the present one. The settings are "
                f"{setting_name('jobs', 'folder')} and {setting_name('jobs', 'database')}.",
                code="database_lost",
                retry_after_s=RETRY_AFTER_S,
            )


def translate_errors(engine: Engine) -> None:
    """Make the engine raise `Unavailable` (503) when the database cannot be used."""

    @event.listens_for(engine, "handle_error")
    def translate(context: ExceptionContext) -> BaseException | None:
        error = context.sqlalchemy_exception
        if (
            context.is_pre_ping
            or not isinstance(error, DatabaseError | InterfaceError)
            or isinstance(error, UNTRANSLATED_ERRORS)
        ):
            return None
        log.error("The database failed: %s", context.original_exception)
        return _storage_full_error() if _is_full(engine, context.original_exception) else _unavailable_error()

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _: Any, arguments: Any, keywords: Any) -> Any:
        try:
            return dialect.connect(*arguments, **keywords)
        except sqlite3.Error:  # `translate` handles it
            raise
        except Exception as error:  # the server is not there, has no free connection, or is just starting
            log.error("The database cannot be reached: %s", error)
            raise _unavailable_error() from error


def _storage_full_error() -> Unavailable:
    return storage_full_error("the database", f"{setting_name('jobs', 'folder')} or {setting_name('jobs', 'database')}")


def _unavailable_error() -> Unavailable:
    return Unavailable(
        "The service cannot use its database now. Its log says why. Try again later.",
        code="database_unavailable",
        retry_after_s=RETRY_AFTER_S,
    )


def _is_full(engine: Engine, error: BaseException) -> bool:
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith("SQLITE_IOERR") and (path := engine.url.database):
        return shutil.disk_usage(Path(path).parent).free < DISK_FULL_BYTES
    return name == "SQLITE_FULL" or getattr(error, "sqlstate", None) == POSTGRES_DISK_FULL


def _file_identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
