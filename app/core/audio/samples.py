"""Hours of samples without hours of memory: they lie in a file that has no name, and what is sliced is read.

An array is `Samples` too, so that what needs a stretch of a recording takes either. The file is gone with its last
holder, also after a SIGKILL; it lies where `tempfile` puts its files (`TMPDIR`). Knows nothing about codecs.
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
# Of a recording in memory; what is more is written to the disk.
BLOCK_BYTES = 1 << 20


class Samples(Protocol):
    """float32 mono at 16 kHz, as long as the recording."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]: ...


class StoredSamples:
    """`Samples` in a file. A slice is read anew each time; steps are not for slices of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._count = os.fstat(file.fileno()).st_size // BYTES_PER_SAMPLE

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]:
        start, stop, step = part.indices(self._count)
        if step != 1:
            raise ValueError("samples in a file are read one after another")
        taken = np.empty(max(0, stop - start), np.float32)
        view, position = taken.data.cast("B"), 0
        while position < len(view):
            read = os.preadv(self._file.fileno(), [view[position:]], start * BYTES_PER_SAMPLE + position)
            if not read:
                raise EOFError("the samples are shorter than their file was")
            position += read
        return taken

    def close(self) -> None:
        """Give the file back. Harmless twice."""
        self._file.close()


@contextmanager
def translate_disk_full() -> Iterator[None]:
    """Around what writes such files: a disk without room is `Unavailable` (code "disk_full")."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise disk_full_error() from error


def create_unnamed_file(data: bytes = b"") -> BinaryIO:
    """A file without a name that holds `data`."""
    file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(data)
    file.flush()
    return file


async def write_unnamed_file(pieces: AsyncGenerator[bytes, None]) -> BinaryIO:
    """A file without a name that holds all the pieces, written off the event loop a block at a time."""
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
