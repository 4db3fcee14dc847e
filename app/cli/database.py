"""`speechsum database`: the commands `status`, `backup`, `restore` and `downgrade`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from app.cli.configuration import load_settings, start_logging
from app.cli.program import new_command_app
from app.database.connection import configured_url, downgrade_database, read_database_revision, redact_url
from app.database.revisions import known_revisions
from app.jobs.backup import back_up
from app.jobs.backup import restore as restore_backup
from app.settings import Settings

app = new_command_app("Back up, restore and downgrade the database of jobs, keys and templates.")


@app.command(short_help="Print where the database is, and its revision.")
def status() -> None:
    """Print where the database is, the revision of its tables, and the newest one that this version knows."""
    url = configured_url(_load().jobs)
    found = asyncio.run(read_database_revision(url))
    print(f"database  {redact_url(url)}")
    print(f"revision  {found or 'none: the tables are made when the service starts'}")
    print(f"newest    {known_revisions()[-1]}")


@app.command(short_help="Copy a SQLite database and the recordings of waiting jobs.")
def backup(folder: Annotated[Path, typer.Argument(help="A new or empty folder.")]) -> None:
    """Copy a SQLite database and the recordings of waiting jobs into a folder. The service may run meanwhile."""
    made = back_up(_load().jobs, folder)
    print(f"{folder} holds the database at revision {made.revision} and {made.recordings} recordings.")


@app.command(short_help="Put a backup back. The service must be stopped.")
def restore(folder: Annotated[Path, typer.Argument(help="The folder that `database backup` filled.")]) -> None:
    """Put a backup where the settings say that the database is. There must be none, and no service may run."""
    made = restore_backup(_load().jobs, folder)
    print(f"The database is at revision {made.revision} and waits for the service, with {made.recordings} recordings.")


@app.command(short_help="Bring the tables back for an older version. The service must be stopped.")
def downgrade(
    revision: Annotated[str, typer.Argument(help="The newest revision that the older version knows.")],
) -> None:
    """Bring the tables back to a revision that an older version knows. No service may run, and there should be a
    backup: what only the newer tables hold is deleted.
    """
    asyncio.run(downgrade_database(configured_url(_load().jobs), revision))
    print(f"The database is at revision {revision}. Starting this version again would bring it forward again.")


def _load() -> Settings:
    settings = load_settings()
    start_logging(settings)
    return settings
