"""The revisions of the tables: which one a database is at, and the way back to an older one.

The way forward is taken whenever a database is opened (`app.database.connection`). Knows nothing about rows.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import make_url

from app.database.errors import DatabaseUnusable
from app.settings import setting_name

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


def migration_config(connection: Connection) -> "Config":
    """Return Alembic's configuration for a connection, in whose transaction all migrations run."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def read_revision(connection: Connection) -> str | None:
    """Return the revision that a database is at; None if it has no tables of this program."""
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def known_revisions() -> list[str]:
    """Return the revisions that this version knows, the oldest first."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(MIGRATIONS))
    return [script.revision for script in reversed(list(scripts.walk_revisions()))]


def check_revision(found: str | None, url: str) -> None:
    """Raise DatabaseUnusable if a newer version of this program has written the database. url: without a password."""
    revisions = known_revisions()
    if found is not None and found not in revisions:
        raise DatabaseUnusable(
            f"the database {url} was written by a newer version of speechsum: its tables are at revision {found}, and "
            f"this version knows revisions up to {revisions[-1]}. Install the newer version, or let it bring the "
            f"tables back with `speechsum database downgrade`, or use another database; the settings are "
            f"{setting_name('jobs', 'folder')} and {setting_name('jobs', 'database')}."
        )


def upgrade_tables(connection: Connection) -> None:
    """Bring the tables to the newest revision."""
    from alembic import command

    command.upgrade(migration_config(connection), "head")


def downgrade_tables(connection: Connection, revision: str) -> None:
    """Bring the tables back to an older revision. What only newer revisions can hold is deleted.

    Raises:
        ValueError: if the revision is not an older one.
    """
    from alembic import command

    found, revisions = read_revision(connection), known_revisions()
    older = revisions[: revisions.index(found)] if found in revisions else []
    if revision not in older:
        raise ValueError(
            f"the database is at revision {found} and cannot be brought back to {revision!r}; it can be brought to "
            f"{', '.join(older) or 'no older one'}"
        )
    command.downgrade(migration_config(connection), revision)


def read_file_revision(file: Path) -> str | None:
    """Return the revision of a SQLite file that nobody writes into."""
    engine = create_engine(make_url(f"sqlite:///{file}"))
    try:
        with engine.connect() as connection:
            return read_revision(connection)
    finally:
        engine.dispose()
