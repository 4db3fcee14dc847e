"""Carries a recording to a decoding worker and its samples back through anonymous memory (Linux memfd).

Only names travel through the pool's pipe: all workers share it, so a worker that died in the middle of a long message
would leave it unusable for the others. The memory has no file behind it and is gone with its last holder, also after a
SIGKILL.
"""

import os
import secrets
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class HandoverGone(Exception):
    """The service has dropped this job in the meantime."""


class Handover:
    """One job's memory, held by the service: the recording to read and room for the samples.

    ticket: what the worker is given, (process id, descriptor, name) of either.
    """

    def __init__(self, data: bytes) -> None:
        name = secrets.token_hex(16)
        self._recording = os.fdopen(os.memfd_create(f"{name}-in"), "r+b", buffering=0)
        self._samples = os.fdopen(os.memfd_create(f"{name}-out"), "r+b", buffering=0)
        _write_all(self._recording.fileno(), data)
        self.ticket = (os.getpid(), self._recording.fileno(), self._samples.fileno(), name)

    def samples(self) -> NDArray[np.float32]:
        """The samples that the worker has left: float32 (n,)."""
        descriptor = self._samples.fileno()
        taken = np.empty(os.fstat(descriptor).st_size // 4, np.float32)
        view, position = taken.data.cast("B"), 0
        while position < len(view):
            read = os.preadv(descriptor, [view[position:]], position)
            if not read:
                raise EOFError("the decoded samples are shorter than their memory")
            position += read
        return taken

    def close(self) -> None:
        self._recording.close()
        self._samples.close()


Ticket = tuple[int, int, int, str]


def take_recording(ticket: Ticket) -> bytes:
    """In the worker: the recording's bytes. Raises `HandoverGone`."""
    process, descriptor, _, name = ticket
    with os.fdopen(_open(process, descriptor, f"{name}-in", os.O_RDONLY), "rb") as file:
        return file.read()


def leave_samples(ticket: Ticket, samples: NDArray[np.float32]) -> None:
    """In the worker: put the samples where the service reads them. Raises `HandoverGone`."""
    process, _, descriptor, name = ticket
    opened = _open(process, descriptor, f"{name}-out", os.O_WRONLY)
    try:
        _write_all(opened, samples.data.cast("B"))
    finally:
        os.close(opened)


def _open(process: int, descriptor: int, name: str, flags: int) -> int:
    """Open another process's memory. Its descriptor may have been given to another job since, hence the name."""
    try:
        opened = os.open(f"/proc/{process}/fd/{descriptor}", flags)
    except OSError as error:
        raise HandoverGone from error
    if Path(f"/proc/self/fd/{opened}").readlink().name.split(" ")[0] != f"memfd:{name}":
        os.close(opened)
        raise HandoverGone
    return opened


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    view, position = memoryview(data), 0
    while position < len(view):
        position += os.pwrite(descriptor, view[position:], position)
