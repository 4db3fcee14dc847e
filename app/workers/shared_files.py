"""Carries a recording to a decoding worker and its samples back, in files without names.

Only where they are travels through the pool's pipe: all workers share it, so a worker that died in the middle of a long
message would leave it unusable for the others. A worker opens the service's own files (Linux: /proc); what it reads it
maps, so that a file of hours costs no memory of its own.
"""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from app.core.audio.samples import StoredSamples, create_unnamed_file


class SharedFilesClosed(Exception):
    """The service has dropped this job in the meantime."""


FileIdentity = tuple[int, int, int]  # descriptor, and the device and inode that it should be
SharedFilesTicket = tuple[int, FileIdentity, FileIdentity]  # process, the recording's place, the samples'


class SharedFiles:
    """One job's files, held by the service: the recording to read (the caller's) and room for the samples."""

    def __init__(self, recording: BinaryIO) -> None:
        self._samples = create_unnamed_file()
        self.ticket: SharedFilesTicket = (os.getpid(), _file_identity(recording), _file_identity(self._samples))

    def take_samples(self) -> StoredSamples:
        """The samples that the worker has left, which now belong to the caller."""
        return StoredSamples(self._samples)

    def close(self) -> None:
        """Give up the room for the samples."""
        self._samples.close()


@contextmanager
def map_recording(ticket: SharedFilesTicket) -> Iterator[bytes | mmap.mmap]:
    """In the worker: the recording, until the block ends. Raises `SharedFilesClosed`."""
    process, place, _ = ticket
    descriptor = _open_shared_file(process, place, os.O_RDONLY)
    try:
        if not os.fstat(descriptor).st_size:
            yield b""
            return
        mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)
    try:
        yield mapped
    finally:
        mapped.close()  # else an error's frames hold it, and its bytes on the disk, until the garbage is collected


def open_samples_file(ticket: SharedFilesTicket) -> BinaryIO:
    """In the worker: the file to put the samples into. Raises `SharedFilesClosed`."""
    process, _, place = ticket
    return os.fdopen(_open_shared_file(process, place, os.O_RDWR), "r+b", buffering=1 << 20)


def _file_identity(file: BinaryIO) -> FileIdentity:
    found = os.fstat(file.fileno())
    return file.fileno(), found.st_dev, found.st_ino


def _open_shared_file(process: int, place: FileIdentity, flags: int) -> int:
    """Open another process's file. Its descriptor may have been given to another job since, hence the inode."""
    descriptor, device, inode = place
    try:
        opened = os.open(f"/proc/{process}/fd/{descriptor}", flags)
    except OSError as error:
        raise SharedFilesClosed from error
    found = os.fstat(opened)
    if (found.st_dev, found.st_ino) != (device, inode):
        os.close(opened)
        raise SharedFilesClosed
    return opened
