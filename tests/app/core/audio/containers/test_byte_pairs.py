"""Pairs of bytes are found wherever they are, also across the blocks in which a file is read."""

import numpy as np
import pytest

from app.core.audio.containers.byte_pairs import BytePairs
from app.core.audio.containers.formats import find_format, match_format
from app.core.audio.containers.frames import find_stream
from tests.recordings import mux_speech

PAIRS = (b"RI", b"\xff\xfb", b"\0\0")
BLOCK = 1 << 16


@pytest.mark.parametrize("length", [0, 1, 2, 3, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
@pytest.mark.parametrize("start", [0, 1])
def test_all_pairs_are_found_in_order(length: int, start: int) -> None:
    data = np.random.default_rng(length).choice(np.frombuffer(b"RI\xff\xfb\0x", np.uint8), length).tobytes()
    expected = [place for place in range(start, length - 1) if data[place : place + 2] in PAIRS]
    assert list(BytePairs(PAIRS).iterate(data, start, length)) == expected


@pytest.mark.parametrize("place", [0, 1, 4095, 4096, 4097, 12_287, BLOCK - 4, BLOCK])
@pytest.mark.parametrize("kind", ["flac", "mp4", "ogg"])
def test_the_first_signature_is_found_wherever_it_is(kind: str, place: int) -> None:
    codec = {"flac": "flac", "mp4": "aac", "ogg": "libopus"}[kind]
    file = mux_speech(kind, codec, seconds=1)
    data = bytes(place) + b"x" * 3 + file + mux_speech("wav", "pcm_s16le", seconds=1)
    assert find_format(data, 0) == (kind, place + 3)
    assert all(match_format(data, before) is None for before in range(place + 3))


@pytest.mark.parametrize("place", [1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_a_stream_is_found_also_where_two_blocks_meet(place: int) -> None:
    frames = mux_speech("adts", "aac", seconds=2)
    data = b"x" * place + frames
    assert find_stream(data, 0, len(data)) == ("aac", place)
    assert find_stream(data, place + 1, len(data)) != ("aac", place)
    assert find_stream(data, 0, place + 1) is None
