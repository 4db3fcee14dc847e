from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.tiny import noise, record
from training.__main__ import main
from training.records import write_records


def check(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    status = main(["data", "check", "--records", *map(str, arguments)])
    return status, capsys.readouterr().out


def test_good_records_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [record(i, tmp_path, noise(0.2), split=split) for i, split in enumerate(("train", "train", "test"))]
    write_records(tmp_path / "a.jsonl", rows[:2])
    write_records(tmp_path / "b.parquet", rows[2:])
    assert check(capsys, tmp_path / "a.jsonl", tmp_path / "b.parquet", "--audio") == (
        0,
        "3 records, no problem: 2 train, 1 test\n",
    )


def test_all_that_is_wrong_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row, broken = record(1, tmp_path, noise(0.2)), noise(0.2)
    broken[7] = np.inf
    rows = [row, replace(row, split="dev"), record(2, tmp_path, broken), record(3, tmp_path, audio="nowhere.wav")]
    write_records(tmp_path / "a.jsonl", rows)
    status, said = check(capsys, tmp_path / "a.jsonl")
    assert status == 1
    assert "clip-1: 2 records have this id" in said
    assert "1.wav lies in train (clip-1) and dev (clip-1)" in said
    assert "2 problems" in said
    status, said = check(capsys, tmp_path / "a.jsonl", "--audio")
    assert "clip-2: " in said
    assert "not finite" in said
    assert "clip-3: " in said
    assert "4 problems" in said
    (tmp_path / "a.jsonl").write_text("{}\n")
    status, said = check(capsys, tmp_path / "a.jsonl")
    assert (status, "a.jsonl, line 1: not a record: id: is missing" in said) == (1, True)
