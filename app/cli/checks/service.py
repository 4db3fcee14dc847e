"""The service's place on this machine: its settings, its port and its database."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from speechsum_client import ServiceError, SpeechsumError

from app.cli.checks.finding import Finding
from app.cli.configuration import misspelt_variables
from app.cli.service import configured_address, is_foreign, open_clients
from app.database.connection import check_database, configured_url
from app.server.sockets import ListenError, open_listening_sockets
from app.settings import Settings, setting_name


def check_settings() -> Iterator[Finding]:
    """Yield a warning for each variable that looks like a setting and is none."""
    names = misspelt_variables()
    for name in names:
        yield Finding(
            "settings",
            "warning",
            f"{name} is not a setting of this service and has no effect.",
            "Correct its name: `speechsum settings` lists all, with what they do.",
        )
    if not names:
        yield Finding("settings", "ok", "The settings are valid.")


def check_port(settings: Settings) -> Finding:
    """Return whether the service could listen where the settings say, or runs there already."""
    where = f"port {settings.port} on {settings.host}"
    try:
        for listener in open_listening_sockets(settings.host, settings.port):
            listener.close()
    except ListenError as error:
        if runs_there(settings):
            return Finding("port", "ok", f"A service runs at {configured_address(settings)}.")
        return Finding("port", "problem", str(error).split(". ")[0] + ".", str(error).split(". ", 1)[1])
    return Finding("port", "ok", f"The {where} is free.")


def runs_there(settings: Settings) -> bool:
    """Return whether a service answers at the address of the settings, be it with an error."""
    url = configured_address(settings)
    if url is None:
        return False
    with open_clients(url, None) as (_, probe):
        try:
            probe.models()
        except ServiceError as error:
            return not is_foreign(error)
        except SpeechsumError:
            return False
    return True


def check_database_place(settings: Settings) -> Finding:
    """Return whether the database of jobs and keys can be opened. A database that is not there is not created."""
    folder = settings.jobs.folder
    uses_file = not settings.jobs.database.get_secret_value()
    if uses_file and not (folder / "speechsum.db").exists():
        existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
            return Finding("database", "ok", f"The database will be made in {folder}.")
        return _unusable(f"The folder {folder} for jobs and keys cannot be written to.", existing)
    try:
        asyncio.run(check_database(configured_url(settings.jobs)))
    except ValueError as error:  # also DatabaseUnusable
        return _unusable(str(error), folder if uses_file else None)
    return Finding("database", "ok", "The database of jobs and keys can be used.")


def _unusable(message: str, folder: Path | None) -> Finding:
    remedy = f"Name another place in {setting_name('jobs', 'folder')} or {setting_name('jobs', 'database')}."
    if folder is not None:
        remedy = f"Change the owner or the permissions of {folder}. Or: {remedy[0].lower()}{remedy[1:]}"
    return Finding("database", "problem", message, remedy)
