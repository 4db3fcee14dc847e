"""Damage to audio files, each kind a function of a seeded generator: the same number gives the same file.

Knows nothing about what becomes of them.
"""

import functools
from collections.abc import Callable

import numpy as np

from tests import recordings

Random = np.random.Generator
_SECONDS = 2.0


@functools.cache
def seeds() -> dict[str, bytes]:
    """A short clip in every format that the tests can make, by name."""
    return {name: make() for name, (make, _, _) in recordings.all_formats(_SECONDS).items()}


def mutated(number: int) -> tuple[str, bytes]:
    """Mutation `number`: what was done to which format, and the file."""
    random = np.random.default_rng(number)
    names = sorted(seeds())
    name = names[number % len(names)]
    data = seeds()[name]
    done = []
    for _ in range(int(random.integers(1, 4))):
        kind = MUTATIONS[int(random.integers(len(MUTATIONS)))]
        data = kind(data, random)
        done.append(kind.__name__)
    return f"{number} {name}: {', '.join(done)}", data


def flip_bits(data: bytes, random: Random) -> bytes:
    """A few bits anywhere."""
    return _flipped(data, random, len(data))


def flip_bits_in_the_header(data: bytes, random: Random) -> bytes:
    """A few bits among the first few hundred bytes, where what a parser believes in is."""
    return _flipped(data, random, 400)


def truncate(data: bytes, random: Random) -> bytes:
    """The end is missing."""
    return data[: int(random.integers(len(data) + 1))]


def cut_out(data: bytes, random: Random) -> bytes:
    """A piece in the middle is missing."""
    start, end = _span(data, random)
    return data[:start] + data[end:]


def repeat(data: bytes, random: Random) -> bytes:
    """A piece is there up to twenty times."""
    start, end = _span(data, random, 4096)
    return data[:end] + data[start:end] * int(random.integers(1, 20)) + data[end:]


def swap(data: bytes, random: Random) -> bytes:
    """Two pieces have changed places."""
    if len(data) < 4:
        return data
    a, b, c, d = sorted(int(place) for place in random.integers(len(data), size=4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def lie_about_a_size(data: bytes, random: Random) -> bytes:
    """Four bytes that could be a size say something extreme."""
    if len(data) < 8:
        return data
    lies = (0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, len(data), len(data) + 1, 0xFFFF, 0x01000000)
    lie = lies[int(random.integers(len(lies)))].to_bytes(4, "little" if random.random() < 0.5 else "big")
    place = int(random.integers(min(len(data) - 4, 600)))
    return data[:place] + lie + data[place + 4 :]


def zero(data: bytes, random: Random) -> bytes:
    """A piece is zeros, as on a disk that failed."""
    start, end = _span(data, random)
    return data[:start] + bytes(end - start) + data[end:]


def noise(data: bytes, random: Random) -> bytes:
    """A piece is noise."""
    start, end = _span(data, random, 2000)
    return data[:start] + random.bytes(end - start) + data[end:]


def other_body(data: bytes, random: Random) -> bytes:
    """The beginning of this file and the rest of one in another format."""
    names = sorted(seeds())
    other = seeds()[names[int(random.integers(len(names)))]]
    kept = int(random.integers(12, 400))
    return data[:kept] + other[int(random.integers(min(kept, len(other)) + 1)) :]


MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    flip_bits,
    flip_bits_in_the_header,
    truncate,
    cut_out,
    repeat,
    swap,
    lie_about_a_size,
    zero,
    noise,
    other_body,
)


def _flipped(data: bytes, random: Random, within: int) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    for place in random.integers(min(within, len(data)), size=int(random.integers(1, 17))):
        changed[int(place)] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _span(data: bytes, random: Random, longest: int = 1 << 30) -> tuple[int, int]:
    start = int(random.integers(len(data) + 1))
    return start, min(len(data), start + int(random.integers(longest + 1)) % (len(data) - start + 1))
