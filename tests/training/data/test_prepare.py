import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from datasets import Audio, Dataset

from app.prompts import Style, instruction
from tests.audio_files import speech_wav
from tests.training.tiny import noise
from training.__main__ import main
from training.data.prepare import split_of
from training.examples import read_audio, read_records


def rows_of(out: Path) -> list[Any]:
    return [row for name in ("train", "dev", "test") for row in read_records(out / f"{name}.jsonl")]


def test_a_folder_of_recordings_beside_transcripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "calls", tmp_path / "out"
    (folder / "monday").mkdir(parents=True)
    (folder / "monday" / "one.wav").write_bytes(speech_wav())
    (folder / "monday" / "one.txt").write_text(" Anna here.\n Call me back. ")
    soundfile.write(folder / "two.flac", np.stack([noise(0.5), noise(0.5)], 1), 44_100)
    (folder / "two.txt").write_text("Two pumps.")
    (folder / "three.wav").write_bytes(speech_wav())
    (folder / "four.wav").write_text("not audio at all, by no means")
    (folder / "four.txt").write_text("Four.")
    assert main(["data", "prepare", "--folder", str(folder), "--out", str(out), "--license", "CC-BY-4.0"]) == 0
    rows = {row.id: row for row in rows_of(out)}
    assert rows.keys() == {"monday/one.wav", "two.flac"}
    one = rows["monday/one.wav"]
    assert one.transcript == "Anna here. Call me back."
    assert one.query == instruction(Style())
    assert (one.words, one.license, one.facts) == (5, "CC-BY-4.0", [])
    assert len(read_audio(one)) == pytest.approx(16_000 * (one.duration_s or 0), abs=20)
    assert len(read_audio(rows["two.flac"])) == pytest.approx(8000 * 16_000 / 44_100, abs=50)
    report = json.loads((out / "report.json").read_text())
    assert report["left_out"]["three.wav"] == "no transcript"
    assert "four.wav" in report["left_out"]
    assert "four.wav: left out" in capsys.readouterr().out


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Five utterances of two meetings, out of order, each of its own length."""
    rows = []
    for meeting, begin, text in (
        ("b", 2, "two."),
        ("a", 1, "One,"),
        ("b", 1, "Then"),
        ("a", 3, "three"),
        ("a", 2, "and"),
    ):
        file = tmp_path / f"{meeting}{begin}.wav"
        soundfile.write(file, noise(0.2 * begin, begin), 16_000)
        cell = {"bytes": file.read_bytes(), "path": None}
        rows.append({"audio": cell, "text": text, "meeting": meeting, "begin": begin, "about": f"Meeting {meeting}."})
    Dataset.from_list(rows).cast_column("audio", Audio()).save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def prepare(dataset: Path, out: Path, *more: str) -> dict[str, Any]:
    assert main(["data", "prepare", "--dataset", str(dataset), "--out", str(out), *more]) == 0
    return {row.id: row for row in rows_of(out)}


def test_a_datasets_rows(dataset: Path, tmp_path: Path) -> None:
    rows = prepare(dataset, tmp_path / "out", "--summary", "about")
    assert [rows[f"train-{i:06d}"].transcript for i in range(5)] == ["two.", "One,", "Then", "three", "and"]
    assert rows["train-000000"].summary == "Meeting b."
    assert len(read_audio(rows["train-000001"])) == 3200


def test_rows_of_one_meeting_are_joined_in_order(dataset: Path, tmp_path: Path) -> None:
    rows = prepare(dataset, tmp_path / "out", "--group", "meeting", "--order", "begin")
    assert {name: row.transcript for name, row in rows.items()} == {"a": "One, and three", "b": "Then two."}
    assert rows["a"].duration_s == pytest.approx(0.2 + 0.4 + 0.6)
    assert read_audio(rows["a"])[:3200].tolist() == pytest.approx(noise(0.2, 1).tolist(), abs=1e-4)


def test_what_is_too_long_is_left_out_and_a_few_can_be_asked_for(dataset: Path, tmp_path: Path) -> None:
    more = ["--group", "meeting", "--max-seconds", "1"]
    rows = prepare(dataset, tmp_path / "out", *more)
    assert rows.keys() == {"b"}
    assert "the most is 1" in (tmp_path / "out" / "report.json").read_text()
    assert len(prepare(dataset, tmp_path / "few", "--limit", "2")) == 2


def test_a_folder_with_nothing_of_use_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    assert main(["data", "prepare", "--folder", str(tmp_path / "x"), "--out", str(tmp_path / "out")]) == 1


def test_splits_are_by_name_and_hold_their_shares() -> None:
    splits = [split_of(f"recording {i}", 0.1) for i in range(3000)]
    assert splits == [split_of(f"recording {i}", 0.1) for i in range(3000)]
    assert 0.08 < splits.count("test") / 3000 < 0.12
    assert 0.08 < splits.count("dev") / 3000 < 0.12
