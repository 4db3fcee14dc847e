"""Opens the database and brings its tables up to date. Knows nothing about rows."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.core.errors import Unavailable
from app.database.errors import DatabaseFile, DatabaseUnusable, translate_errors
from app.database.revisions import check_revision, downgrade_tables, known_revisions, read_revision, upgrade_tables
from app.database.rows import READ_ONLY_OPTION
from app.settings import JobSettings, setting_name

log = logging.getLogger(__name__)

DRIVERS = {"sqlite": "aiosqlite", "postgresql": "asyncpg", "postgres": "asyncpg"}
BUSY_TIMEOUT_SECONDS = 30  # longest time that a writer waits for another one in SQLite
MIGRATION_LOCK = 0x73756D  # the advisory lock of PostgreSQL that is held while tables change


def database_url(configured: str, folder: Path) -> str:
    """Return the configured URL with the driver that this service has; without one, a SQLite file in the folder.

    Raises:
        ValueError: if it is not a URL, or not one of SQLite or PostgreSQL.
    """
    if not configured:
        return f"sqlite+aiosqlite:///{folder / 'speechsum.db'}"
    try:
        url = make_url(configured)
    except ArgumentError:
        without_password = configured.split("@")[-1]
        raise ValueError(
            f"{without_password!r} is not a database URL such as postgresql://user:password@host/name"
        ) from None
    kind = url.drivername.split("+")[0]
    if kind not in DRIVERS:
        raise ValueError(f"the database {kind!r} is not supported; sqlite and postgresql are")
    name = "sqlite" if kind == "sqlite" else "postgresql"
    return url.set(drivername=f"{name}+{DRIVERS[kind]}").render_as_string(hide_password=False)


def configured_url(jobs: JobSettings) -> str:
    """Return the database URL of the settings. Raises ValueError if it is not valid."""
    return database_url(jobs.database.get_secret_value(), jobs.folder)


class Database(AsyncEngine):
    """An engine whose tables are up to date.

    Attributes:
        file: the file of a SQLite database; None if the database is a server or in memory.
    """

    file: DatabaseFile | None = None

    def check_file(self) -> None:
        """Raise Unavailable (503) if the file was deleted or replaced since it was opened."""
        if self.file:
            self.file.check()

    async def purge_deleted(self) -> None:
        """Remove deleted data from SQLite's write-ahead log now, instead of at the next checkpoint. A failure is only
        logged.
        """
        if self.dialect.name != "sqlite":
            return
        try:
            async with self.connect() as connection:
                raw = (await connection.get_raw_connection()).driver_connection
                await raw.execute("PRAGMA busy_timeout=1000")  # type: ignore[union-attr]
                await raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
                await raw.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}")  # type: ignore[union-attr]
        except Exception:
            log.exception("Deleted data stays in the database's write-ahead log until the next checkpoint.")


async def open_database(url: str) -> Database:
    """Open the database and create its tables or bring them up to date.

    Args:
        url: a URL from `database_url`.

    Raises:
        DatabaseUnusable: (a ValueError) if it cannot be opened, or was written by a newer version of this program.
    """
    database = Database(create_async_engine(url, pool_pre_ping=True).sync_engine)
    try:
        if database.dialect.name == "sqlite":
            if path := database.url.database:
                await asyncio.to_thread(Path(path).parent.mkdir, parents=True, exist_ok=True)
            _configure_sqlite(database)
        translate_errors(database.sync_engine)
        async with database.begin() as connection:
            await connection.run_sync(_migrate)
    except (Unavailable, OSError) as error:
        await database.dispose()
        raise _unusable_error(url, error) from error
    except BaseException:
        await database.dispose()
        raise
    database.file = await asyncio.to_thread(_open_database_file, database)
    return database


async def check_database(url: str) -> None:
    """Bring the tables up to date and close the database again. Raises DatabaseUnusable as `open_database` does."""
    await (await open_database(url)).dispose()


async def read_database_revision(url: str) -> str | None:
    """Return the revision of a database's tables, and change nothing; None if it has no tables.

    Raises:
        DatabaseUnusable: if it cannot be opened.
    """
    database = create_async_engine(url)
    if database.dialect.name == "sqlite" and not await asyncio.to_thread(os.path.isfile, database.url.database or ""):
        return None
    try:
        async with database.connect() as connection:
            return await connection.run_sync(read_revision)
    except (DBAPIError, OSError) as error:
        raise _unusable_error(url, error) from error
    finally:
        await database.dispose()


async def downgrade_database(url: str, revision: str) -> None:
    """Bring the tables back to an older revision, for an older version of this program. No service may be running.

    Raises:
        DatabaseUnusable: as `open_database` does.
        ValueError: if the revision is not an older one.
    """
    database = await open_database(url)
    try:
        async with database.begin() as connection:
            await connection.run_sync(_prepare_migration)
            await connection.run_sync(downgrade_tables, revision)
    finally:
        await database.dispose()


def _open_database_file(database: Database) -> DatabaseFile | None:
    path = database.url.database if database.dialect.name == "sqlite" else None
    return DatabaseFile(Path(path)) if path and Path(path).is_file() else None


def _unusable_error(url: str, error: BaseException) -> DatabaseUnusable:
    cause = error.__cause__ if isinstance(error, Unavailable) and error.__cause__ else error
    cause = getattr(cause, "orig", None) or cause
    return DatabaseUnusable(
        f"the database {redact_url(url)} cannot be opened: {cause}. The settings are "
        f"{setting_name('jobs', 'folder')} and {setting_name('jobs', 'database')}."
    )


def redact_url(url: str) -> str:
    """Return the URL without its password."""
    return make_url(url).render_as_string(hide_password=True)


def _configure_sqlite(database: Database) -> None:
    """Set up SQLite: readers beside the writer, every commit on the disk, and deleted data overwritten.

    A writing transaction takes the write lock when it begins. If it read first and locked later, the row that it read
    could have changed in between.
    """

    @event.listens_for(database.sync_engine, "do_connect")
    def check_file(*_: Any) -> None:
        database.check_file()  # connecting would create an empty file in place of a deleted one

    @event.listens_for(database.sync_engine, "connect")
    def set_pragmas(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # `begin_transaction` begins transactions, not the driver
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "secure_delete=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(database.sync_engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        database.check_file()
        connection.exec_driver_sql(
            "BEGIN" if connection.get_execution_options().get(READ_ONLY_OPTION) else "BEGIN IMMEDIATE"
        )


def _migrate(connection: Connection) -> None:
    _prepare_migration(connection)
    found = read_revision(connection)
    if found == known_revisions()[-1]:
        return
    check_revision(found, redact_url(str(connection.engine.url)))
    upgrade_tables(connection)


def _prepare_migration(connection: Connection) -> None:
    """Keep other services from changing the tables too, until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    # Alembic logs each step at level INFO, which would only distract whoever runs a command.
    logging.getLogger("alembic").setLevel(logging.WARNING)
