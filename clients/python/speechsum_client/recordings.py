"""Recordings as callers have them: a path, bytes, an open file, a URL that the service fetches, or the id of one that
the service keeps.

Every try of a request sends the same bytes from the beginning, so an open file that cannot be rewound is copied to a
temporary file first. Knows nothing about HTTP.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from speechsum_client.kept_recordings import RecordingId

# A `RecordingId` is one; another `str` that begins with http:// or https:// is a URL, and any other one is a path.
Recording = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

URL_SCHEMES = ("http://", "https://")
DEFAULT_NAME = "recording"


@dataclass(frozen=True)
class OpenRecording:
    """A recording that is ready to be sent: a file, which can be rewound, the URL to fetch it from, or the id of a kept
    one.
    """

    name: str = DEFAULT_NAME
    file: IO[bytes] | None = None
    url: str | None = None
    kept_id: str | None = None

    def read(self) -> bytes:
        """Return the whole recording. It must be a file."""
        assert self.file is not None
        self.file.seek(0)
        return self.file.read()


@contextmanager
def open_recording(recording: Recording) -> Iterator[OpenRecording]:
    """Open a recording until the block ends. A file that the caller has opened stays open, and is sent from its
    beginning.

    Raises: OSError if the file cannot be read, TypeError if this is no recording.
    """
    if isinstance(recording, RecordingId):
        yield OpenRecording(kept_id=str(recording))
    elif isinstance(recording, str) and recording.lower().startswith(URL_SCHEMES):
        yield OpenRecording(url=recording)
    elif isinstance(recording, (str, os.PathLike)):
        path = Path(recording)
        with path.open("rb") as file:
            yield OpenRecording(path.name, file)
    elif isinstance(recording, (bytes, bytearray, memoryview)):
        yield OpenRecording(file=BytesIO(recording))
    elif not hasattr(recording, "read"):
        raise TypeError(f"a recording is a path, bytes, an open file or a URL, not {type(recording).__name__}")
    elif not isinstance(recording.read(0), bytes):
        raise TypeError('the file is open as text; open it in binary mode, as open(path, "rb") does')
    elif _can_rewind(recording):
        yield OpenRecording(_file_name(recording), recording)
    else:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(recording, copy)
            yield OpenRecording(_file_name(recording), copy)


def _can_rewind(file: IO[bytes]) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if seekable is not None else hasattr(file, "seek")


def _file_name(file: IO[bytes]) -> str:
    name = getattr(file, "name", None)  # a number for a file that was opened by its descriptor
    return Path(name).name if isinstance(name, str) and name else DEFAULT_NAME
