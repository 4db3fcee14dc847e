"""What libsndfile and FFmpeg read from, and what a reader tells about a file beside its samples."""

import io
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any

from app.errors import Unprocessable


@dataclass
class Reading:
    """promised: seconds the file's headers announce, None where they announce nothing reliable.
    damaged: seconds that were announced and reached the sink as silence or not at all, beyond what `promised` shows.
    """

    promised: float | None = None
    damaged: float = 0.0
    warnings: list[str] = field(default_factory=list)


class View(io.RawIOBase):
    """A recording as a file, without a copy of it. It may be told to seek before its start, as libsndfile does in
    damaged files: an exception there is one that libsndfile's callback can only print.
    """

    def __init__(self, data: bytes | mmap) -> None:
        self._data = data
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._position = max(0, (0, self._position, len(self._data))[whence] + offset)
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        # No view of it stays behind: what is mapped could not be closed then.
        with memoryview(self._data) as whole, whole[self._position : self._position + len(buffer)] as found:
            buffer[: len(found)] = found
            self._position += len(found)
            return len(found)


def undecodable(label: str, reason: str = "") -> Unprocessable:
    """The refusal of a file of format `label` that no decoder takes."""
    detail = f" ({reason.strip(' .')})" if reason.strip(" .") else ""
    message = f"The file looks like {label} but cannot be decoded{detail}; it is damaged, truncated or incomplete."
    return Unprocessable(message, code="undecodable_audio", param="file")
