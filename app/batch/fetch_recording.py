"""Brings a recording of an archive to this machine, in a file with a descriptor, as the decoder takes it."""

import shutil
from typing import BinaryIO

from fsspec.implementations.local import LocalFileSystem

from app.batch.inputs import open_file_system
from app.core.audio.samples import create_unnamed_file, translate_disk_full
from app.core.errors import TooLarge
from app.settings import setting_name

COPY_BYTES = 1 << 20


def fetch_recording(uri: str, max_bytes: int) -> BinaryIO:
    """Return the recording in a file that the caller closes. One that is not on a disk here is copied.

    Raises:
        OSError: If it cannot be read.
        ValueError: If no package knows how to read it.
        TooLarge: If it has more than `max_bytes` bytes.
    """
    system, path = open_file_system(uri)
    size = system.size(path)
    if size is not None and size > max_bytes:
        raise TooLarge(
            f"The recording has {size} bytes, and the limit is {max_bytes} ({setting_name('limits', 'upload_bytes')}).",
            code="upload_too_large",
            param="file",
        )
    if isinstance(system, LocalFileSystem):
        return open(path, "rb")
    file = create_unnamed_file()
    try:
        with system.open(path, "rb") as source, translate_disk_full():
            shutil.copyfileobj(source, file, COPY_BYTES)
        file.seek(0)
        return file
    except BaseException:
        file.close()
        raise
