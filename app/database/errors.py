"""What goes wrong with a database, as errors a caller can read: no room, no answer, a file that is gone.

A database that cannot be used now is `Unavailable` (503) with a time to try again, whatever was asked of it. Violated
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
DISK_FULL_BYTES = 1 << 20  # below this an I/O error of SQLite is a full disk: its shared memory says no more of it
POSTGRES_DISK_FULL = "53100"  # of PostgreSQL's error codes


class DatabaseUnusable(ValueError):
    """The service cannot start with this database; says why in a sentence for its operator."""


class DatabaseFile:
    """The file of a SQLite database, which somebody may delete or replace while it is open.

    SQLite goes on writing into a file that has no name any more, and all of it is lost when the process ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity = _file_identity(path)
        self._was_lost = False

    def check(self) -> None:
        """Raise Unavailable (503, code "database_lost") if the file at the path is not the one that was opened."""
        lost = _file_identity(self.path) != self._identity
        if lost and not self._was_lost:
            log.error("the database %s was deleted or replaced while it was open; restart the service", self.path)
        self._was_lost = lost
        if lost:
            raise Unavailable(
                "The database file was deleted or replaced while the service ran, so nothing can be kept. The operator "
                "has to put it back or restart the service, which then begins with what is there. The settings are "
                f"{setting_name('jobs', 'folder')} and {setting_name('jobs', 'database')}.",
                code="database_lost",
                retry_after_s=RETRY_AFTER_S,
            )


def translate_errors(engine: Engine) -> None:
    """Have the engine raise `Unavailable` (503) where the database cannot be used now."""

    @event.listens_for(engine, "handle_error")
    def translate(context: ExceptionContext) -> BaseException | None:
        error = context.sqlalchemy_exception
        if (
            context.is_pre_ping
            or not isinstance(error, DatabaseError | InterfaceError)
            or isinstance(error, UNTRANSLATED_ERRORS)
        ):
            return None
        log.error("the database failed: %s", context.original_exception)
        return _storage_full_error() if _is_full(engine, context.original_exception) else _unavailable_error()

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _: Any, arguments: Any, named: Any) -> Any:
        try:
            return dialect.connect(*arguments, **named)
        except sqlite3.Error:  # goes through `translate`
            raise
        except Exception as error:  # a server that is not there, has no more connections, or is just starting
            log.error("the database cannot be reached: %s", error)
            raise _unavailable_error() from error


def _storage_full_error() -> Unavailable:
    return storage_full_error("the database", f"{setting_name('jobs', 'folder')} or {setting_name('jobs', 'database')}")


def _unavailable_error() -> Unavailable:
    return Unavailable(
        "The service's database cannot be used now; its log says why. Try again later.",
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
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
