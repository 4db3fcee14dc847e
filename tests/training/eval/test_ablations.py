from pathlib import Path

import numpy as np
import pytest

from tests.training.tiny_checkpoints import noise, record
from training.data.audio import read_audio
from training.data.record_files import UnusableRecord
from training.eval.ablations import shuffled_records, silent_records


def test_silence_is_as_long_as_the_recording_and_nothing_else_changes(tmp_path: Path) -> None:
    rows = [record(i, tmp_path, noise(seconds, i)) for i, seconds in enumerate((0.5, 1.25, 0.5))]
    with silent_records(rows) as quiet:
        for row, still in zip(rows, quiet, strict=True):
            np.testing.assert_array_equal(read_audio(still), np.zeros(len(read_audio(row)), np.float32))
            assert (still.id, still.query, still.facts) == (row.id, row.query, row.facts)
    assert not any(Path(str(still.audio)).exists() for still in quiet)
    assert all(read_audio(row).any() for row in rows), "the recordings themselves are left alone"


def test_nothing_to_measure_the_silence_by_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnusableRecord, match="clip-1: has no audio"), silent_records([record(1, tmp_path)]):
        pass


def test_one_recording_cannot_be_shuffled(tmp_path: Path) -> None:
    with (
        pytest.raises(UnusableRecord, match="clip-1: no other recording"),
        shuffled_records([record(1, tmp_path, noise(0.5))]),
    ):
        pass
