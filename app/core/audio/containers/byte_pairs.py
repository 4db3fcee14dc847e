"""Finds pairs of bytes in a file, all of a set in one pass: the first two bytes of signatures and of frames.

A search for each pair would read the file as often as there are pairs, and a regular expression is slower than that.
"""

from collections.abc import Iterable, Iterator
from mmap import mmap

import numpy as np
from numpy.typing import NDArray

_BLOCK_BYTES = 1 << 16


class BytePairs:
    """A set of pairs of bytes."""

    def __init__(self, pairs: Iterable[bytes]) -> None:
        self._is_wanted: NDArray[np.bool_] = np.zeros(1 << 16, np.bool_)
        self._is_wanted[[int.from_bytes(pair, "little") for pair in pairs]] = True

    def find_all(self, block: bytes) -> list[int]:
        """Return the positions of the pairs in a block, in order."""
        found = []
        for first in range(2):
            pairs = np.frombuffer(block, "<u2", count=max(0, len(block) - first) // 2, offset=min(first, len(block)))
            found.append(np.flatnonzero(self._is_wanted[pairs]) * 2 + first)
        positions: list[int] = np.sort(np.concatenate(found)).tolist()
        return positions

    def iterate(self, data: bytes | mmap, start: int, end: int) -> Iterator[int]:
        """Yield the positions of the pairs that lie between two positions of a file, in order."""
        for first in range(start, end, _BLOCK_BYTES):
            block = data[first : min(first + _BLOCK_BYTES + 1, end)]
            yield from (first + position for position in self.find_all(block))
