"""Passes a recording to a decoding worker and its samples back, in files without names.

Only a ticket, which says where the files are, travels through the worker's pipe. The worker opens the service's own
files through /proc (Linux), and maps the recording, so that a file of hours takes no memory of its own.
"""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from app.core.audio.samples import StoredSamples, create_unnamed_file


class SharedFilesClosed(Exception):
    """The service closed these files before the worker opened them."""


FileIdentity = tuple[int, int, int]  # descriptor, and the device and inode that it should refer to
SharedFilesTicket = tuple[int, FileIdentity, FileIdentity]  # process ID, the recording, the samples


class SharedFiles:
    """The two files of one decoding, held by the service: the caller's recording, and a new file for the samples."""

    def __init__(self, recording: BinaryIO) -> None:
        self._samples = create_unnamed_file()
        self.ticket: SharedFilesTicket = (os.getpid(), _file_identity(recording), _file_identity(self._samples))

    def take_samples(self) -> StoredSamples:
        """Return the samples that the worker wrote. The caller closes them."""
        return StoredSamples(self._samples)

    def close(self) -> None:
        """Close the samples file."""
        self._samples.close()


@contextmanager
def map_recording(ticket: SharedFilesTicket) -> Iterator[bytes | mmap.mmap]:
    """Map the recording, in the worker, until the block ends. Raises `SharedFilesClosed` if the service closed it."""
    process_id, identity, _ = ticket
    descriptor = _open_shared_file(process_id, identity, os.O_RDONLY)
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
        mapped.close()  # an error's frames would hold it, and its bytes on the disk, until garbage collection


def open_samples_file(ticket: SharedFilesTicket) -> BinaryIO:
    """Open the samples file for writing, in the worker. Raises `SharedFilesClosed` if the service closed it."""
    process_id, _, identity = ticket
    return os.fdopen(_open_shared_file(process_id, identity, os.O_RDWR), "r+b", buffering=1 << 20)


def _file_identity(file: BinaryIO) -> FileIdentity:
    status = os.fstat(file.fileno())
    return file.fileno(), status.st_dev, status.st_ino


def _open_shared_file(process_id: int, identity: FileIdentity, flags: int) -> int:
    """Open another process's file. The inode is compared, because the descriptor may be another file's by now."""
    descriptor, device, inode = identity
    try:
        opened = os.open(f"/proc/{process_id}/fd/{descriptor}", flags)
    except OSError as error:
        raise SharedFilesClosed from error
    status = os.fstat(opened)
    if (status.st_dev, status.st_ino) != (device, inode):
        os.close(opened)
        raise SharedFilesClosed
    return opened
