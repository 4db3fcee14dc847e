"""What keeps a path from being used, in words that follow the path in a sentence: "calls.jsonl does not exist".

Needs the standard library alone, so that a command line can be checked before anything heavy is imported. Knows nothing
about what the files hold.
"""

import os
from pathlib import Path


def file_problem(path: Path) -> str | None:
    """Return why the path is not a readable file with at least one byte, or None if it is."""
    try:
        if path.is_dir():
            return "is a folder, and a file is needed"
        if not path.exists():
            return "does not exist"
        if not path.is_file():  # to look into a pipe would take bytes out of it, or wait for ever
            return "is not a regular file"
        with path.open("rb") as file:
            return None if file.read(1) else "is empty"
    except (OSError, ValueError) as error:
        return f"cannot be read: {error_text(error)}"


def folder_problem(path: Path) -> str | None:
    """Return why the path is not a readable folder, or None if it is."""
    try:
        if not path.exists():
            return "does not exist"
        if not path.is_dir():
            return "is a file, and a folder is needed"
        os.listdir(path)
    except (OSError, ValueError) as error:
        return f"cannot be read: {error_text(error)}"
    return None


def read_error_text(error: OSError) -> str:
    """Return why a file could not be read, in the words of `file_problem`."""
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, IsADirectoryError):
        return "is a folder, and a file is needed"
    return f"cannot be read: {error_text(error)}"


def error_text(error: Exception) -> str:
    """Return what the error says, without an error number and without the path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
