"""Opens the database and brings its tables up to date. Knows nothing about rows."""

import asyncio
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.database.rows import READS
from app.settings import JobSettings

MIGRATIONS = Path(__file__).parent / "migrations"
DRIVERS = {"sqlite": "aiosqlite", "postgresql": "asyncpg", "postgres": "asyncpg"}
BUSY_SECONDS = 30  # a writer waits so long for another one in SQLite
LOCK = 0x73756D  # of PostgreSQL's advisory locks, the one that is held while tables change


def database_url(given: str, folder: Path) -> str:
    """The URL with the driver this service has; a file in the folder if none is given. Raises ValueError."""
    if not given:
        return f"sqlite+aiosqlite:///{folder / 'speechsum.db'}"
    try:
        url = make_url(given)
    except ArgumentError:
        shown = given.split("@")[-1]  # without a password
        raise ValueError(f"{shown!r} is no database URL; postgresql://user:password@host/name is one") from None
    kind = url.drivername.split("+")[0]
    if kind not in DRIVERS:
        raise ValueError(f"the database {kind!r} is not known; sqlite and postgresql are")
    name = "sqlite" if kind == "sqlite" else "postgresql"
    return url.set(drivername=f"{name}+{DRIVERS[kind]}").render_as_string(hide_password=False)


def url_of(jobs: JobSettings) -> str:
    """As the settings say. Raises ValueError."""
    return database_url(jobs.database.get_secret_value(), jobs.folder)


async def open_database(url: str) -> AsyncEngine:
    """The database of a URL from `database_url`, its tables made or brought up to date."""
    database = create_async_engine(url, pool_pre_ping=True)
    if database.dialect.name == "sqlite":
        if path := database.url.database:
            await asyncio.to_thread(Path(path).parent.mkdir, parents=True, exist_ok=True)
        _suit_sqlite(database)
    try:
        async with database.begin() as connection:
            await connection.run_sync(_upgrade)
    except BaseException:
        await database.dispose()
        raise
    return database


def _suit_sqlite(database: AsyncEngine) -> None:
    """Readers beside the writer, every commit on the disk, and who writes says so at the transaction's beginning: one
    that reads first and writes later could find the row changed under it.
    """

    @event.listens_for(database.sync_engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_SECONDS * 1000}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(database.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(READS) else "BEGIN IMMEDIATE")


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
