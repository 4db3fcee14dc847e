from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.recordings import speech_wav
from tests.training.tiny_checkpoints import noise, record
from training.__main__ import main
from training.data.audio import read_audio
from training.data.record_files import write_records


def speech_file(folder: Path) -> Path:
    file = folder / "speech.wav"
    file.write_bytes(speech_wav())
    return file


def run_data_check(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    status = main(["data", "check", "--records", *map(str, arguments)])
    return status, capsys.readouterr().out


def test_good_records_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heard = read_audio(record(9, tmp_path, audio=str(speech_file(tmp_path))))
    rows = [record(i, tmp_path, heard, split=split) for i, split in enumerate(("train", "train", "test"))]
    write_records(tmp_path / "a.jsonl", rows[:2])
    write_records(tmp_path / "b.parquet", rows[2:])
    assert run_data_check(capsys, tmp_path / "a.jsonl", tmp_path / "b.parquet", "--audio") == (
        0,
        "3 records, no problem: 2 train, 1 test\n",
    )


def test_all_that_is_wrong_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heard = read_audio(record(9, tmp_path, audio=str(speech_file(tmp_path))))
    row, broken = record(1, tmp_path, heard), noise(0.2)
    broken[7] = np.inf
    rows = [row, replace(row, split="dev"), record(2, tmp_path, broken), record(3, tmp_path, audio="nowhere.wav")]
    write_records(tmp_path / "a.jsonl", rows)
    status, said = run_data_check(capsys, tmp_path / "a.jsonl")
    assert status == 1
    assert "clip-1: 2 records have this id" in said
    assert "1.wav lies in train (clip-1) and dev (clip-1)" in said
    assert "clip-3: " in said, "a file that is not there is missed without looking into any"
    assert "3 problems" in said
    status, said = run_data_check(capsys, tmp_path / "a.jsonl", "--audio")
    assert "clip-2: " in said
    assert "not finite" in said
    assert "4 problems" in said
    (tmp_path / "a.jsonl").write_text("{}\n")
    status, said = run_data_check(capsys, tmp_path / "a.jsonl")
    assert (status, "a.jsonl, line 1: not a record: id: is missing" in said) == (1, True)


@pytest.mark.parametrize(
    ("changed", "stage", "said"),
    [
        ({"summary": " "}, "sft", "clip-1: the summary is empty"),
        ({"query": "", "style": None}, "sft", "clip-1: the query is empty"),
        ({"transcript": ""}, "distill", "clip-1: the transcript is empty"),
        ({"chosen": "A.", "rejected": ""}, "dpo", "clip-1: the rejected is empty"),
        ({"chosen": "A.", "rejected": "A."}, "dpo", "clip-1: chosen and rejected are the same"),
        ({"transcript": "", "audio": None}, "sft", "clip-1: has neither audio nor a transcript"),
        ({"summary": "Done.<|im_end|>"}, "sft", "clip-1: the summary holds the control token '<|im_end|>'"),
        ({"transcript": "So <s> it is."}, "sft", "the transcript holds the control token '<s>'"),
        ({"query": "[INST] Sum up. [/INST]"}, "sft", "the query holds the control token '[INST]'"),
        ({"summary": "<end_of_turn>"}, "sft", "the summary holds the control token '<end_of_turn>'"),
        ({"chosen": "A <|eot_id|>", "rejected": "B"}, "dpo", "the chosen holds the control token '<|eot_id|>'"),
    ],
)
def test_what_a_stage_cannot_learn_from_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], stage: str, said: str
) -> None:
    write_records(tmp_path / "a.jsonl", [replace(record(1, tmp_path), **changed)])
    status, printed = run_data_check(capsys, tmp_path / "a.jsonl", "--stage", stage)
    assert status == 1
    assert said in printed


def test_the_audios_files_are_looked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "empty.wav").write_bytes(b"")
    rows = [record(i, tmp_path, audio=name) for i, name in enumerate(("gone.wav", "folder.wav", "empty.wav"))]
    (tmp_path / "a.jsonl").write_text("".join(row.to_json() + "\n" for row in rows))
    status, said = run_data_check(capsys, tmp_path / "a.jsonl")
    assert status == 1
    for line in ("gone.wav does not exist", "folder.wav is a folder, and a file is needed", "is empty"):
        assert line in said


def test_what_the_service_would_refuse_or_warn_about_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = read_audio(record(9, tmp_path, audio=str(speech_file(tmp_path))))
    for name, samples in {
        "blank": np.zeros(16_000),
        "offset": np.full(16_000, 0.3),
        "dither": 1e-5 * noise(1),
        "antiphase": np.stack([heard, -heard], 1),
        "hum": 0.1 * np.sin(2 * np.pi * 50 * np.arange(32_000) / 16_000),
        "good": heard,
    }.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000)
    whole = (tmp_path / "good.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    names = ["blank", "offset", "dither", "antiphase", "hum", "cut", "good"]
    rows = [record(i, tmp_path, audio=str(tmp_path / f"{n}.wav"), id=n) for i, n in enumerate(names)]
    write_records(tmp_path / "a.jsonl", rows)
    status, said = run_data_check(capsys, tmp_path / "a.jsonl", "--audio")
    assert status == 1
    assert {line.split(": ")[0] for line in said.splitlines()[:-1]} == set(names) - {"antiphase", "good"}


def test_files_that_are_none_are_said_and_the_others_still_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_records(tmp_path / "good.jsonl", [record(1, tmp_path)])
    (tmp_path / "blank.jsonl").write_text("\n\n")
    (tmp_path / "no.parquet").write_text("no")
    status, said = run_data_check(capsys, tmp_path / "no.parquet", tmp_path / "good.jsonl")
    assert (status, "no.parquet: is no Parquet file" in said, "1 records, 1 problems" in said) == (1, True, True)
    status, said = run_data_check(capsys, tmp_path / "blank.jsonl")
    assert (status, "there is no record at all" in said) == (1, True)
