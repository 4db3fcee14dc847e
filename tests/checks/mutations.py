"""Damages audio files. Each kind of damage is a function of a seeded generator, so that a number always gives one file.

This module knows nothing about the service.
"""

import functools
from collections.abc import Callable

import numpy as np

from tests import recordings

Random = np.random.Generator
_SECONDS = 2.0


@functools.cache
def seed_files() -> dict[str, bytes]:
    """Return a short clip in every format that the tests can make, by name."""
    return {name: make() for name, (make, _, _) in recordings.all_formats(_SECONDS).items()}


def mutate(number: int) -> tuple[str, bytes]:
    """Return mutation `number`: a description of the format and the damage, and the file."""
    random = np.random.default_rng(number)
    names = sorted(seed_files())
    name = names[number % len(names)]
    data = seed_files()[name]
    done = []
    for _ in range(int(random.integers(1, 4))):
        kind = MUTATIONS[int(random.integers(len(MUTATIONS)))]
        data = kind(data, random)
        done.append(kind.__name__)
    return f"{number} {name}: {', '.join(done)}", data


def flip_bits(data: bytes, random: Random) -> bytes:
    """Flip a few bits anywhere."""
    return _flip_random_bits(data, random, len(data))


def flip_bits_in_the_header(data: bytes, random: Random) -> bytes:
    """Flip a few bits among the first few hundred bytes, where the headers are."""
    return _flip_random_bits(data, random, 400)


def truncate(data: bytes, random: Random) -> bytes:
    """Remove the end."""
    return data[: int(random.integers(len(data) + 1))]


def cut_out(data: bytes, random: Random) -> bytes:
    """Remove a piece in the middle."""
    start, end = _random_span(data, random)
    return data[:start] + data[end:]


def repeat_piece(data: bytes, random: Random) -> bytes:
    """Repeat a piece up to twenty times."""
    start, end = _random_span(data, random, 4096)
    return data[:end] + data[start:end] * int(random.integers(1, 20)) + data[end:]


def swap_pieces(data: bytes, random: Random) -> bytes:
    """Swap two pieces."""
    if len(data) < 4:
        return data
    a, b, c, d = sorted(int(place) for place in random.integers(len(data), size=4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def lie_about_a_size(data: bytes, random: Random) -> bytes:
    """Replace four bytes, which may be a size, by an extreme value."""
    if len(data) < 8:
        return data
    lies = (0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, len(data), len(data) + 1, 0xFFFF, 0x01000000)
    lie = lies[int(random.integers(len(lies)))].to_bytes(4, "little" if random.random() < 0.5 else "big")
    place = int(random.integers(min(len(data) - 4, 600)))
    return data[:place] + lie + data[place + 4 :]


def overwrite_with_zeros(data: bytes, random: Random) -> bytes:
    """Replace a piece by zeros, as on a failed disk."""
    start, end = _random_span(data, random)
    return data[:start] + bytes(end - start) + data[end:]


def overwrite_with_noise(data: bytes, random: Random) -> bytes:
    """Replace a piece by noise."""
    start, end = _random_span(data, random, 2000)
    return data[:start] + random.bytes(end - start) + data[end:]


def replace_body(data: bytes, random: Random) -> bytes:
    """Join the beginning of this file and the rest of one in another format."""
    names = sorted(seed_files())
    other = seed_files()[names[int(random.integers(len(names)))]]
    kept = int(random.integers(12, 400))
    return data[:kept] + other[int(random.integers(min(kept, len(other)) + 1)) :]


MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    flip_bits,
    flip_bits_in_the_header,
    truncate,
    cut_out,
    repeat_piece,
    swap_pieces,
    lie_about_a_size,
    overwrite_with_zeros,
    overwrite_with_noise,
    replace_body,
)


def _flip_random_bits(data: bytes, random: Random, within: int) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    for place in random.integers(min(within, len(data)), size=int(random.integers(1, 17))):
        changed[int(place)] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _random_span(data: bytes, random: Random, longest: int = 1 << 30) -> tuple[int, int]:
    start = int(random.integers(len(data) + 1))
    return start, min(len(data), start + int(random.integers(longest + 1)) % (len(data) - start + 1))
