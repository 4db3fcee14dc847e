import argparse
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from datasets import Audio, Dataset

from app.core.prompts import Style, instruction
from tests.recordings import speech_wav
from tests.training.tiny_checkpoints import noise
from training.__main__ import main
from training.data.audio import read_audio
from training.data.prepare import KNOWN_DATASETS, add_arguments, dataset_layout, draw_split
from training.data.record_files import read_records


@pytest.fixture(autouse=True)
def _tones_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Voice detection hears nobody in the tones of the tests here; `test_prepare_bad_rows` has it as it is."""
    monkeypatch.setattr("training.data.prepare.has_speech", lambda samples: True)


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
    assert (one.source, one.recording) == (str(folder), "monday/one.wav")
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


def sound(seconds: float, seed: int) -> dict[str, Any]:
    """A cell of an audio column."""
    with io.BytesIO() as out:
        soundfile.write(out, noise(seconds, seed), 16_000, format="FLAC")
        return {"bytes": out.getvalue(), "path": f"{seed}.flac"}


def hub_copy(place: Path, config: str, rows: dict[str, list[dict[str, Any]]]) -> Path:
    """A dataset's repository as it lies on the hub: a card with configurations, Parquet files by split."""
    (place / config).mkdir(parents=True)
    card = ["configs:", f"- config_name: {config}", "  data_files:"]
    for split, of in rows.items():
        card += [f"  - split: {split}", f"    path: {config}/{split}-*"]
        found = Dataset.from_list(of).cast_column("audio", Audio(sampling_rate=16_000))
        found.to_parquet(place / config / f"{split}-00000-of-00001.parquet")
    (place / "README.md").write_text("\n".join(["---", *card, "---", ""]))
    return place


def test_ami_as_it_lies_on_the_hub(tmp_path: Path) -> None:
    """A row an utterance, not in order, of four microphones."""
    said = [("ES2004b", 4.5, "SO"), ("ES2004a", 77.4, "OKAY GREAT"), ("ES2004a", 12.0, "HELLO EVERYONE")]
    rows = [
        {
            "meeting_id": meeting,
            "audio_id": f"AMI_{meeting}_H0{i}_FEE013_{begin:.0f}",
            "text": text,
            "audio": sound(0.3 + 0.1 * i, i),
            "begin_time": begin,
            "end_time": begin + 1,
            "microphone_id": f"H0{i}",
            "speaker_id": "FEE013",
        }
        for i, (meeting, begin, text) in enumerate(said)
    ]
    copy = hub_copy(tmp_path / "ami", "ihm", {"test": rows, "validation": rows[:1]})
    found = prepare(copy, tmp_path / "out", "--like", "edinburghcstr/ami", "--split", "test")
    assert {name: row.transcript for name, row in found.items()} == {
        "ES2004b": "SO",
        "ES2004a": "HELLO EVERYONE OKAY GREAT",
    }
    row = found["ES2004a"]
    assert (row.split, row.license, row.recording, row.source) == ("test", "CC-BY-4.0", "ES2004a", str(copy))
    assert row.duration_s == pytest.approx(0.5 + 0.4)
    assert read_audio(row)[:8000].tolist() == pytest.approx(noise(0.5, 2).tolist(), abs=1e-3)
    held = prepare(copy, tmp_path / "held", "--like", "edinburghcstr/ami", "--split", "validation")
    assert held["ES2004b"].split == "dev"


def test_floras_as_it_lies_on_the_hub(tmp_path: Path) -> None:
    rows = [
        {
            "id": f"yt_{i}",
            "language": "es",
            "score": "-0.31",
            "audio": sound(0.5, i),
            "text": f"Hola {i}.",
            "summary": summary,
            "translation": None,
        }
        for i, summary in enumerate(("Un saludo.", None))
    ]
    copy = hub_copy(tmp_path / "floras", "monolingual", {"train": rows[:1], "dev": rows, "test": rows[:1]})
    found = prepare(copy, tmp_path / "out", "--like", "espnet/floras", "--split", "dev")
    assert {name: (row.transcript, row.summary, row.language, row.split) for name, row in found.items()} == {
        "yt_0": ("Hola 0.", "Un saludo.", "es", "dev"),
        "yt_1": ("Hola 1.", "", "es", "dev"),
    }
    assert {row.license for row in found.values()} == {"CC-BY-3.0"}
    drawn = prepare(copy, tmp_path / "drawn", "--like", "espnet/floras", "--split", "dev", "--no-keep-split")
    assert {name: row.split for name, row in drawn.items()} == {name: draw_split(name, 0.05) for name in drawn}


@pytest.mark.parametrize("dataset", KNOWN_DATASETS)
def test_a_known_dataset_is_known_by_its_name(dataset: str) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = parser.parse_args(["--dataset", dataset, "--out", "x", "--license", "mine"])
    assert dataset_layout(given) == replace(KNOWN_DATASETS[dataset], license="mine")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_folder_of_audio_with_a_table_of_what_is_said(kind: str, tmp_path: Path) -> None:
    """What `datasets` calls an audio folder."""
    folder, out = tmp_path / "clips", tmp_path / "out"
    (folder / "train").mkdir(parents=True)
    for i in range(2):
        soundfile.write(folder / "train" / f"{i}.wav", noise(0.4, i), 22_050)
    lines = ["file_name,sentence,talk", "0.wav,Hello.,a", "1.wav,Goodbye.,b"]
    if kind == "jsonl":
        lines = [json.dumps(dict(zip(lines[0].split(","), line.split(","), strict=True))) for line in lines[1:]]
    (folder / "train" / f"metadata.{kind}").write_text("\n".join(lines))
    command = ["data", "prepare", "--folder", str(folder), "--out", str(out)]
    assert main([*command, "--text", "sentence", "--name", "talk"]) == 0
    found = {row.id: row for row in rows_of(out)}
    assert {name: row.transcript for name, row in found.items()} == {"a": "Hello.", "b": "Goodbye."}
    assert len(read_audio(found["a"])) == pytest.approx(0.4 * 16_000 * 16_000 / 22_050, abs=30)
    with pytest.raises(ValueError, match=r"row 1 has no 'text' \(--text is text\); it has file_name, sentence, talk"):
        main(command)


def test_a_column_that_is_not_there_is_named(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no column 'words' \(--text\); it has audio, text, meeting, begin, about"):
        prepare(dataset, tmp_path / "out", "--text", "words")


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
    splits = [draw_split(f"recording {i}", 0.1) for i in range(3000)]
    assert splits == [draw_split(f"recording {i}", 0.1) for i in range(3000)]
    assert 0.08 < splits.count("test") / 3000 < 0.12
    assert 0.08 < splits.count("dev") / 3000 < 0.12
