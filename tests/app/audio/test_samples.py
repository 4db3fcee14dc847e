"""Samples in a file are read as an array is."""

import numpy as np
import pytest

from app.audio.samples import StoredSamples, spool

ARRAY = np.arange(1000, dtype=np.float32)


@pytest.fixture
def stored() -> StoredSamples:
    return StoredSamples(spool(ARRAY.tobytes()))


@pytest.mark.parametrize("part", [slice(None), slice(3, 10), slice(-5, None), slice(900, 5000), slice(10, 3)])
def test_a_slice_is_what_it_is_of_an_array(stored: StoredSamples, part: slice) -> None:
    np.testing.assert_array_equal(stored[part], ARRAY[part])
    assert stored[part].dtype == np.float32
    assert len(stored) == 1000


def test_steps_are_refused(stored: StoredSamples) -> None:
    with pytest.raises(ValueError, match="one after another"):
        stored[::2]


def test_none_are_an_empty_file_and_closing_is_harmless_twice() -> None:
    stored = StoredSamples(spool())
    assert len(stored) == len(stored[:]) == 0
    stored.close()
    stored.close()
