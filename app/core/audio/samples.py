"""Samples in files without names, so that hours of audio take no memory: a slice is read when it is needed.

An array also fits the protocol `Samples`, so that code which reads parts of a recording takes either. A file without a
name is gone when its last descriptor is closed, also after SIGKILL. It lies in the folder of `tempfile` (`TMPDIR`).
This module knows nothing about codecs.
"""

import asyncio
import errno
import os
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from app.core.errors import disk_full_error

BYTES_PER_SAMPLE = 4  # a float32
BLOCK_BYTES = 1 << 20  # bytes of an upload that are kept in memory before they are written


class Samples(Protocol):
    """The samples of a recording: float32 mono at 16 kHz."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]: ...


class StoredSamples:
    """`Samples` in a file. Each slice is read from the file; slices with a step raise ValueError."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._count = os.fstat(file.fileno()).st_size // BYTES_PER_SAMPLE

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]:
        start, stop, step = part.indices(self._count)
        if step != 1:
            raise ValueError("samples in a file cannot be sliced with a step")
        taken = np.empty(max(0, stop - start), np.float32)
        view, position = taken.data.cast("B"), 0
        while position < len(view):
            read = os.preadv(self._file.fileno(), [view[position:]], start * BYTES_PER_SAMPLE + position)
            if not read:
                raise EOFError("the file of the samples became shorter")
            position += read
        return taken

    def close(self) -> None:
        """Close the file. Calling it again does nothing."""
        self._file.close()


@contextmanager
def translate_disk_full() -> Iterator[None]:
    """Raise `Unavailable` (code "disk_full") instead of an OSError for a disk without space."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise disk_full_error() from error


def create_unnamed_file(data: bytes = b"") -> BinaryIO:
    """Return a new file without a name that holds `data`; its position is at the end."""
    file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        file.write(data)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


async def write_unnamed_file(pieces: AsyncGenerator[bytes, None]) -> BinaryIO:
    """Return a new file without a name that holds all pieces, written in blocks off the event loop."""
    file, waiting = create_unnamed_file(), bytearray()
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                waiting += piece
                if len(waiting) >= BLOCK_BYTES:
                    await asyncio.to_thread(file.write, waiting)
                    waiting = bytearray()
        await asyncio.to_thread(file.write, waiting)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file
