"""The input of libsndfile and FFmpeg: ranges of a file's bytes; and what a reader reports beside the samples."""

import io
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from mmap import mmap
from typing import Any

from app.core.errors import Unprocessable

# Fewer unknown bytes than this are not reported: no codec can store a spoken word in them.
MIN_REPORTED_BYTES = 256
ByteRange = tuple[int, int]
ByteSource = ByteRange | bytes


@dataclass
class ReadReport:
    """What a reader found out about one recording.

    Attributes:
        declared_seconds: Length that the file's headers announce, or None if they announce nothing reliable.
        damaged_seconds: Audio that was announced and reached the sink as silence or not at all, beyond what
            `declared_seconds` shows.
        warnings: Sentences for the caller.
        unread: Sentences about audio that is lost, or is in the file and was not read.
    """

    declared_seconds: float | None = None
    damaged_seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


class ByteRanges:
    """One recording's bytes within a file that may hold others: pieces that are read as one, without a copy.

    A piece is a range (start, end) of the file, or bytes that are not in the file, such as a header that it lacks.
    Without pieces it is the whole file.
    """

    def __init__(self, data: bytes | mmap, *pieces: ByteSource) -> None:
        self._pieces: list[tuple[bytes | mmap, int, int]] = []
        for piece in pieces or ((0, len(data)),):
            if isinstance(piece, bytes):
                self._pieces.append((piece, 0, len(piece)))
            else:
                self._pieces.append((data, piece[0], max(piece[0], min(piece[1], len(data)))))
        self._starts = list(accumulate((end - start for _, start, end in self._pieces), initial=0))
        self._length = self._starts[-1]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice, /) -> bytes:
        start, stop, _ = part.indices(self._length)
        taken = bytearray(max(0, stop - start))
        self.readinto(start, taken)
        return bytes(taken)

    def byte_at(self, position: int) -> int:
        """Return the byte at `position`, or 0 after the end."""
        found = self[position : position + 1]
        return found[0] if found else 0

    def find(self, wanted: bytes, start: int, end: int) -> int:
        """Find bytes as `bytes.find` does. The range is copied, so it should be small."""
        found = self[start:end].find(wanted)
        return found if found < 0 else start + found

    def readinto(self, position: int, buffer: Any) -> int:
        """Fill `buffer` with the bytes from `position` on, and return how many there were."""
        filled = 0
        number = bisect_right(self._starts, position) - 1
        while filled < len(buffer) and number < len(self._pieces):
            data, start, end = self._pieces[number]
            first = start + position + filled - self._starts[number]
            count = min(end - first, len(buffer) - filled)
            # No view of the map is kept, since the map could not be closed then.
            with memoryview(data) as whole, whole[first : first + count] as found:
                buffer[filled : filled + count] = found
            filled += count
            number += 1
        return filled


class ByteRangesFile(io.RawIOBase):
    """A recording as a readable file, without a copy of its bytes.

    A seek before its start goes to the start: libsndfile does that in damaged files, and an exception in its callback
    could only be printed.
    """

    def __init__(self, data: ByteRanges) -> None:
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
        count = self._data.readinto(self._position, buffer)
        self._position += count
        return count


def undecodable_error(label: str, reason: str = "") -> Unprocessable:
    """Return the error for a file that looks like format `label` and cannot be decoded."""
    detail = f" ({reason.strip(' .')})" if reason.strip(" .") else ""
    message = f"The file looks like {label} but cannot be decoded{detail}; it is damaged, truncated or incomplete."
    return Unprocessable(message, code="undecodable_audio", param="file")
