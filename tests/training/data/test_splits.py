from dataclasses import replace
from pathlib import Path

import pytest

from training.data.record import Record
from training.data.record_files import UnusableRecord
from training.data.splits import require_disjoint_splits


def test_one_recording_in_two_splits_is_refused(tmp_path: Path) -> None:
    row = Record("a", audio=str(tmp_path / "x.wav"), start=0, end=5, transcript="One.")
    other = replace(row, id="b", start=5, end=9, split="test", transcript="Two.")
    require_disjoint_splits([row, replace(other, split="train"), replace(other, audio="y.wav")])
    with pytest.raises(UnusableRecord, match=r"x\.wav lies in train \(a\) and test \(b\)"):
        require_disjoint_splits([row, other])
    with pytest.raises(UnusableRecord, match=r"x\.wav"):
        require_disjoint_splits([row, replace(other, audio=str(tmp_path / "y" / ".." / "x.wav"))])


def test_files_cut_from_one_recording_are_known_by_its_name() -> None:
    row = Record("a", audio="1.wav", recording="ES2004a", source="ami")
    require_disjoint_splits([row, Record("b", audio="2.wav", recording="ES2004a", source="other", split="dev")])
    with pytest.raises(UnusableRecord, match=r"recording ami/ES2004a lies in train \(a\) and dev \(b\)"):
        require_disjoint_splits([row, Record("b", audio="2.wav", recording="ES2004a", source="ami", split="dev")])


def test_text_alone_is_known_by_its_words() -> None:
    row = Record("a", transcript="Anna  called.")
    require_disjoint_splits([row, Record("b", audio="1.wav", transcript="Anna called.", split="dev")])
    with pytest.raises(UnusableRecord, match=r"'Anna called.' lies in train \(a\) and dev \(b\)"):
        require_disjoint_splits([row, Record("b", transcript="Anna called.", split="dev")])
