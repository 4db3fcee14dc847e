"""The recordings that a user names: files, `-` for standard input, or URLs that the service fetches."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from app.cli.errors import CommandError
from app.cli.exit_statuses import USAGE_ERROR

STANDARD_INPUT = "-"
URL_SCHEMES = ("http://", "https://")


def check_recordings(names: Sequence[str]) -> None:
    """Raise CommandError if one of them cannot be read, before anything slow begins. The user learns of all of them."""
    if names.count(STANDARD_INPUT) > 1:
        raise CommandError("Standard input (-) is named twice, but can be read only once.", USAGE_ERROR)
    if STANDARD_INPUT in names and sys.stdin.isatty():
        raise CommandError("Standard input (-) is a terminal; send a recording into the command.", USAGE_ERROR)
    faults = [fault for name in names if (fault := _fault(name))]
    if faults:
        raise CommandError(" ".join(faults), USAGE_ERROR)


def recording(name: str) -> str | IO[bytes]:
    """Return what the client sends for a name."""
    return sys.stdin.buffer if name == STANDARD_INPUT else name


def display_name(name: str) -> str:
    """Return the name of a recording as it is shown."""
    if name == STANDARD_INPUT:
        return "standard input"
    return name if name.lower().startswith(URL_SCHEMES) else Path(name).name


def _fault(name: str) -> str:
    if name == STANDARD_INPUT or name.lower().startswith(URL_SCHEMES):
        return ""
    try:
        with open(name, "rb"):
            return ""
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}."
