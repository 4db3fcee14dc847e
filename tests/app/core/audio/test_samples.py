"""Samples in a file are read like an array."""

from collections.abc import AsyncGenerator, Iterator

import numpy as np
import pytest

from app.core.audio import samples
from app.core.audio.samples import StoredSamples, create_unnamed_file, write_unnamed_file

ARRAY = np.arange(1000, dtype=np.float32)


@pytest.fixture
def samples_file() -> Iterator[StoredSamples]:
    samples = StoredSamples(create_unnamed_file(ARRAY.tobytes()))
    yield samples
    samples.close()


@pytest.mark.parametrize("part", [slice(None), slice(3, 10), slice(-5, None), slice(900, 5000), slice(10, 3)])
def test_a_slice_is_what_it_is_of_an_array(samples_file: StoredSamples, part: slice) -> None:
    np.testing.assert_array_equal(samples_file[part], ARRAY[part])
    assert samples_file[part].dtype == np.float32
    assert len(samples_file) == 1000


def test_steps_are_refused(samples_file: StoredSamples) -> None:
    with pytest.raises(ValueError, match="step"):
        samples_file[::2]


def test_none_are_an_empty_file_and_closing_is_harmless_twice() -> None:
    samples_file = StoredSamples(create_unnamed_file())
    assert len(samples_file) == len(samples_file[:]) == 0
    samples_file.close()
    samples_file.close()


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
async def test_pieces_are_a_file_in_their_order(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    async def pieces() -> AsyncGenerator[bytes, None]:
        for number in range(100):
            yield bytes([number]) * (number % 5)

    monkeypatch.setattr(samples, "BLOCK_BYTES", block)
    with await write_unnamed_file(pieces()) as file:
        file.seek(0)
        assert file.read() == b"".join(bytes([number]) * (number % 5) for number in range(100))


async def test_pieces_that_break_off_leave_no_file_and_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    files, ended = [], []

    def seen() -> object:
        files.append(create_unnamed_file())
        return files[-1]

    async def pieces() -> AsyncGenerator[bytes, None]:
        try:
            yield b"some"
            raise ConnectionError("gone")
        finally:
            ended.append(True)

    monkeypatch.setattr(samples, "create_unnamed_file", seen)
    with pytest.raises(ConnectionError):
        await write_unnamed_file(pieces())
    assert ended
    assert files[0].closed
