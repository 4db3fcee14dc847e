"""Lists the recordings of an archive: the files in a folder, those that a Parquet file names, or a single recording.

Places are what fsspec understands: a path, `s3://bucket/calls`, and what else is installed. Knows nothing about what is
done with the recordings.
"""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from fsspec.core import split_protocol, url_to_fs

PARQUET_SUFFIX = ".parquet"
DEFAULT_COLUMN = "uri"


class UnusableInput(ValueError):
    """The archive cannot be listed. The message is a full sentence."""


@dataclass(frozen=True)
class Archive:
    """The recordings of an archive.

    Attributes:
        uris: Each recording once, in a fixed order.
        repeated: How often the archive names a recording again.
    """

    uris: list[str]
    repeated: int = 0


def list_recordings(
    source: str, *, pattern: str = "*", column: str = DEFAULT_COLUMN, leave_out: str | None = None
) -> Archive:
    """Return the recordings of an archive.

    Args:
        source: A folder, which is searched with its subfolders; a Parquet file with a column of URIs; or a recording.
            Files and folders whose name begins with a dot are left out of a folder.
        pattern: Which files of a folder are recordings, by name, as a shell matches it.
        column: The column of a Parquet file.
        leave_out: A folder inside of which nothing is a recording, such as that of the summaries.

    Raises:
        UnusableInput: If the source is not there, cannot be read, or has no recordings.
    """
    system, path = open_file_system(source)
    try:
        if path.endswith(PARQUET_SUFFIX) and not system.isdir(path):
            uris = _read_column(system, path, source, column)
        elif system.isdir(path):
            uris = _find_files(system, path, pattern, leave_out)
        elif system.exists(path):
            uris = [str(system.unstrip_protocol(path))]
        else:
            raise UnusableInput(f"{source} does not exist.")
    except (OSError, ImportError) as error:
        raise UnusableInput(f"{source} cannot be read: {error}.") from error
    if not uris:
        raise UnusableInput(f"{source} has no recordings" + (f" that match {pattern!r}." if pattern != "*" else "."))
    unique = list(dict.fromkeys(uris))
    return Archive(unique, len(uris) - len(unique))


def open_file_system(place: str) -> tuple[Any, str]:
    """Return fsspec's file system for a place, and the path in it. Raises UnusableInput if no package knows it."""
    try:
        system, path = url_to_fs(place)
    except (ImportError, ValueError) as error:
        hint = ' `pip install ".[s3]"` in the folder of the repository adds S3.' if place.startswith("s3:") else ""
        raise UnusableInput(f"{place} cannot be opened: {error}.{hint}") from error
    return system, path


def _find_files(system: Any, folder: str, pattern: str, leave_out: str | None) -> list[str]:
    excluded = None
    if leave_out is not None:
        other_system, other_path = open_file_system(leave_out)
        if type(other_system) is type(system):
            excluded = other_path.rstrip("/") + "/"
    found = []
    for path in system.find(folder):
        names = path[len(folder) :].strip("/").split("/")
        is_hidden = any(name.startswith(".") for name in names)
        if not is_hidden and fnmatch(names[-1], pattern) and not (excluded and path.startswith(excluded)):
            found.append(str(system.unstrip_protocol(path)))
    return sorted(found)


def _read_column(system: Any, path: str, source: str, column: str) -> list[str]:
    import pyarrow as pa
    from pyarrow import parquet

    with system.open(path, "rb") as file:
        try:
            table = parquet.ParquetFile(file)
            if column not in table.schema_arrow.names:
                raise UnusableInput(
                    f"{source} has no column {column!r}. Its columns are: {', '.join(table.schema_arrow.names)}."
                )
            values = table.read([column]).column(0).to_pylist()
        except pa.ArrowException as error:
            raise UnusableInput(f"{source} is not a Parquet file that can be read: {error}.") from error
    uris: list[str] = []
    for number, value in enumerate(values, 1):
        if not isinstance(value, str) or not value:
            raise UnusableInput(f"{source}: row {number} has no URI in the column {column!r}.")
        if split_protocol(value)[0] is None and not Path(value).is_absolute():
            # Workers on other machines have other working folders.
            raise UnusableInput(f"{source}: row {number} has {value!r}, which is neither a URL nor an absolute path.")
        uris.append(value)
    return uris
