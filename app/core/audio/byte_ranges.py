"""What libsndfile and FFmpeg read from, and what a reader tells about a file beside its samples."""

import io
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from mmap import mmap
from typing import Any

from app.core.errors import Unprocessable

# Fewer bytes than these that belong to nothing are not worth a word: no codec puts a word of speech into them.
MIN_REPORTED_BYTES = 256
ByteRange = tuple[int, int]
ByteSource = ByteRange | bytes


@dataclass
class ReadReport:
    """What a reader found out about one recording.

    promised: seconds the file's headers announce, None where they announce nothing reliable.
    damaged: seconds that were announced and reached the sink as silence or not at all, beyond what `promised` shows.
    warnings: sentences for the caller. unread: those about audio that is lost, or is there and was not read.
    """

    declared_seconds: float | None = None
    damaged_seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


class ByteRanges:
    """One recording's bytes within a file that holds others too: pieces of it, one behind the other, not copied.

    A piece is a range of the file, or bytes of its own, such as a head that the file lacks.
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
        """The byte at `position`; 0 behind the end."""
        found = self[position : position + 1]
        return found[0] if found else 0

    def find(self, wanted: bytes, start: int, end: int) -> int:
        """As `bytes.find`; `end` is at most some 64 KiB behind `start`."""
        found = self[start:end].find(wanted)
        return found if found < 0 else start + found

    def readinto(self, position: int, buffer: Any) -> int:
        """Fill `buffer` from `position` on; the number of bytes that were there."""
        filled = 0
        number = bisect_right(self._starts, position) - 1
        while filled < len(buffer) and number < len(self._pieces):
            data, start, end = self._pieces[number]
            first = start + position + filled - self._starts[number]
            count = min(end - first, len(buffer) - filled)
            # No view of it stays behind: what is mapped could not be closed then.
            with memoryview(data) as whole, whole[first : first + count] as found:
                buffer[filled : filled + count] = found
            filled += count
            number += 1
        return filled


class ByteRangesFile(io.RawIOBase):
    """A recording as a file, without a copy of it. It may be told to seek before its start, as libsndfile does in
    damaged files: an exception there is one that libsndfile's callback can only print.
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
    """The refusal of a file of format `label` that no decoder takes."""
    detail = f" ({reason.strip(' .')})" if reason.strip(" .") else ""
    message = f"The file looks like {label} but cannot be decoded{detail}; it is damaged, truncated or incomplete."
    return Unprocessable(message, code="undecodable_audio", param="file")
