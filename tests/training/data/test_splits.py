from dataclasses import replace
from pathlib import Path

import pytest

from training.data.record import Record
from training.data.record_files import BadExample
from training.data.splits import refuse_shared


def test_one_recording_in_two_splits_is_refused(tmp_path: Path) -> None:
    row = Record("a", audio=str(tmp_path / "x.wav"), start=0, end=5, transcript="One.")
    other = replace(row, id="b", start=5, end=9, split="test", transcript="Two.")
    refuse_shared([row, replace(other, split="train"), replace(other, audio="y.wav")])
    with pytest.raises(BadExample, match=r"x\.wav lies in train \(a\) and test \(b\)"):
        refuse_shared([row, other])
    with pytest.raises(BadExample, match=r"x\.wav"):
        refuse_shared([row, replace(other, audio=str(tmp_path / "y" / ".." / "x.wav"))])


def test_files_cut_from_one_recording_are_known_by_its_name() -> None:
    row = Record("a", audio="1.wav", recording="ES2004a", source="ami")
    refuse_shared([row, Record("b", audio="2.wav", recording="ES2004a", source="other", split="dev")])
    with pytest.raises(BadExample, match=r"recording ami/ES2004a lies in train \(a\) and dev \(b\)"):
        refuse_shared([row, Record("b", audio="2.wav", recording="ES2004a", source="ami", split="dev")])


def test_text_alone_is_known_by_its_words() -> None:
    row = Record("a", transcript="Anna  called.")
    refuse_shared([row, Record("b", audio="1.wav", transcript="Anna called.", split="dev")])
    with pytest.raises(BadExample, match=r"'Anna called.' lies in train \(a\) and dev \(b\)"):
        refuse_shared([row, Record("b", transcript="Anna called.", split="dev")])
