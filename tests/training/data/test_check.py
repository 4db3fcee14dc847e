import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from model_repo.architectures import AUDIO_TOKEN
from tests.training.tiny_checkpoints import RATE, noise, record
from training.__main__ import main
from training.data import check as checking
from training.data.check import UnusableData, check_records
from training.data.record import Record
from training.data.record_files import UnusableRecord, write_records
from training.models.collate import AudioCollator, Collator, TextCollator
from training.recipes import dpo
from training.recipes.callbacks import AudioGainCallback, build_callbacks
from training.recipes.config import TrainConfig

Spoil = Callable[[Record, Path], Record]


def not_finite(row: Record, folder: Path) -> Record:
    samples = noise(2, 9)
    samples[-5] = np.nan
    return replace(row, audio=record(99, folder, samples).audio)


def too_long(row: Record, folder: Path) -> Record:
    return replace(row, audio=record(98, folder, np.zeros(300 * RATE + 160, np.float32)).audio)


# reason → how a record comes to it, and what is said of it
BAD: dict[str, tuple[Spoil, str]] = {
    "audio missing": (lambda row, folder: replace(row, audio=str(folder / "gone.wav")), "does not exist"),
    "too long": (too_long, "300.0 s of audio, the model takes 300 s"),
    "placeholder": (
        lambda row, _: replace(row, summary=f"A {AUDIO_TOKEN} b.", chosen=f"A {AUDIO_TOKEN} b."),
        "holds the audio placeholder",
    ),
    "empty answer": (lambda row, _: replace(row, summary=" \n", chosen=" "), "the summary is empty"),
    "not finite": (not_finite, "holds samples that are not finite"),
}


@pytest.fixture
def good(tmp_path: Path) -> list[Record]:
    return [record(i, tmp_path, noise(1 + 0.1 * i, i), chosen="Anna called.", rejected="No.") for i in range(2)]


@pytest.fixture(scope="module")
def reads(llama_folder: Path) -> TextCollator:
    return TextCollator(AutoTokenizer.from_pretrained(llama_folder))


@pytest.fixture
def faulty_records(good: list[Record], tmp_path: Path) -> list[Record]:
    """Two records that are good, and one of each way to be bad."""
    return [*good, *(how(replace(good[0], id=f"bad-{i}"), tmp_path) for i, (how, _) in enumerate(BAD.values()))]


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_record_stops_the_run_and_is_named(
    reason: str, good: list[Record], hears: AudioCollator, tmp_path: Path
) -> None:
    how, said = BAD[reason]
    with pytest.raises(UnusableData, match=r"1 of 3 records cannot be used.*--bad-data drop") as caught:
        check_records([good[0], how(replace(good[0], id="culprit"), tmp_path), good[1]], [hears])
    (_, line) = str(caught.value).splitlines()
    assert line.startswith("culprit: ")
    assert said in line


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_record_is_dropped_and_counted_where_that_is_asked_for(
    reason: str, good: list[Record], hears: AudioCollator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how, said = BAD[reason]
    found = check_records([good[0], how(replace(good[0], id="culprit"), tmp_path), good[1]], [hears], "drop")
    assert [r.id for r in found.records] == ["clip-0", "clip-1"]
    assert found.log_entry() == {"records": 2, "dropped": {reason: 1}}
    printed = capsys.readouterr().out
    assert "3 records checked in" in printed
    assert f"1 {reason}" in printed
    assert said in printed.split("left out:\nculprit: ")[1]


def sft(base: Path, rows: list[Record], out: Path, *more: str) -> int:
    write_records(out / "data.jsonl", rows)
    command = ["sft", "--base", base, "--data", out / "data.jsonl", "--out", out / "run", "--gain-every", "0"]
    return main([*map(str, command), "--steps", "1", "--batch", "2", "--rank", "2", *more])


def test_training_does_not_begin_with_bad_data(
    audio_folder: Path, faulty_records: list[Record], tmp_path: Path
) -> None:
    with pytest.raises(UnusableData) as caught:
        sft(audio_folder, faulty_records, tmp_path)
    said = str(caught.value)
    assert "5 of 7 records" in said
    for number, (_, reason) in enumerate(BAD.values()):
        assert any(line.startswith(f"bad-{number}: ") and reason in line for line in said.splitlines())
    assert not (tmp_path / "run").exists()


def test_training_goes_on_without_bad_data_and_the_log_says_how_much(
    audio_folder: Path, faulty_records: list[Record], good: list[Record], tmp_path: Path
) -> None:
    write_records(
        tmp_path / "held.jsonl", [*(replace(r, id=f"h{r.id}") for r in good), replace(faulty_records[2], id="h")]
    )
    more = ["--bad-data", "drop", "--held", str(tmp_path / "held.jsonl")]
    assert sft(audio_folder, faulty_records, tmp_path, *more) == 0
    head = json.loads((tmp_path / "run" / "log.json").read_text())[0]
    assert head["data"] == {"records": 2, "dropped": dict.fromkeys(BAD, 1)}
    assert head["held"] == {"records": 2, "dropped": {"audio missing": 1}}


def test_dpo_drops_what_holds_no_pair(audio_folder: Path, faulty_records: list[Record], tmp_path: Path) -> None:
    alike = replace(faulty_records[0], id="alike", rejected=faulty_records[0].chosen)
    how = TrainConfig(max_steps=1, per_device_train_batch_size=2, learning_rate=1e-3, lora_rank=2, bad_data="drop")
    file = dpo.train(audio_folder, [*faulty_records, alike], tmp_path / "run", how)
    head = json.loads((file.parent / "log.json").read_text())[0]
    dropped = {reason: 1 for reason in BAD if reason != "empty answer"} | {"no pair": 2}
    assert head["data"] == {"records": 2, "dropped": dropped}
    assert head["pairs"] == 2


def test_where_answers_are_sampled_none_is_needed_but_a_transcript_to_correct_them_by(
    audio_folder: Path, llama_folder: Path, faulty_records: list[Record], tmp_path: Path
) -> None:
    rows = [*faulty_records, replace(faulty_records[0], id="deaf", transcript="", turns=[])]
    short = [replace(row, style={"style": "headline"}, summary="") for row in rows]
    write_records(tmp_path / "data.jsonl", short)
    command = ["distill", "--base", audio_folder, "--teacher", llama_folder, "--data", tmp_path / "data.jsonl"]
    more = ["--out", tmp_path / "run", "--steps", "1", "--batch", "1", "--rank", "2", "--bad-data", "drop"]
    assert main(list(map(str, [*command, *more]))) == 0
    head = json.loads((tmp_path / "run" / "log.json").read_text())[0]
    lost = {"audio missing": 1, "too long": 1, "not finite": 1, "no transcript": 1}
    assert head["data"] == {"records": 4, "dropped": lost}


def test_evaluation_checks_the_audio_of_what_hears_alone(
    faulty_records: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_records(tmp_path / "data.jsonl", faulty_records)
    command = ["evaluate", "--records", str(tmp_path / "data.jsonl"), "--out", str(tmp_path / "x.json")]
    assert main([*command, "--system", "own=reference"]) == 0
    assert json.loads((tmp_path / "x.json").read_text())["data"] == {"records": 7, "dropped": {}}
    with pytest.raises(UnusableData, match="3 of 7 records"):  # what is 300 s long is silent
        main([*command, "--system", "x=service:http://127.0.0.1:1"])


def test_nothing_left_is_an_error_either_way(good: list[Record], hears: AudioCollator) -> None:
    with pytest.raises(UnusableData, match=r"2 of 2 records cannot be used \(none is left\)"):
        check_records([replace(row, summary="") for row in good], [hears], "drop")
    with pytest.raises(UnusableData, match="no record at all"):
        check_records([], [hears], "drop")


def test_what_does_not_fit_the_context_is_found_to_the_token(
    good: list[Record], hears: AudioCollator, reads: TextCollator
) -> None:
    rows = [replace(good[0], query="Sum it up. " * 9), *good, replace(good[0], audio=good[1].audio, query="Sum up.")]
    for reader in (hears, reads):
        sizes = [reader([row])["input_ids"].shape[1] for row in rows]
        for limit in sorted({*sizes, *(size - 1 for size in sizes)}):
            narrow: Collator = replace(reader, max_tokens=limit)  # type: ignore[type-var]
            fitting = [row.query for row, size in zip(rows, sizes, strict=True) if size <= limit]
            try:
                found = check_records(rows, [narrow], "drop")
            except UnusableData:
                assert not fitting
                continue
            assert [row.query for row in found.records] == fitting
            assert found.dropped_counts == Counter(
                {"too many tokens": len(rows) - len(fitting)} if fitting != rows else {}
            )


def test_what_was_written_instead_is_looked_at_too(
    good: list[Record], hears: AudioCollator, reads: TextCollator
) -> None:
    row = replace(good[0], written="Anna rang up. " * 30)
    fits = len(reads.encode_question(row)[0]) + len(reads.encode_answer(replace(row, summary=str(row.written))))
    assert check_records([row], [replace(reads, max_tokens=fits)]).records == [row]
    with pytest.raises(UnusableData, match=rf"{row.id}: .* of the answer, the model takes {fits - 1}"):
        check_records([row], [replace(reads, max_tokens=fits - 1)])
    with pytest.raises(UnusableData, match="holds the audio placeholder"):
        check_records([replace(row, written=f"A {AUDIO_TOKEN} b.")], [hears])


def test_a_sampled_answer_needs_room(good: list[Record], reads: TextCollator) -> None:
    row = replace(good[0], style={"style": "headline"}, summary="")
    size = reads.collate_questions([row])["input_ids"].shape[1]
    check_records([row], [replace(reads, max_tokens=size + 48)], answers=())
    with pytest.raises(UnusableData, match=f"clip-0: {size} tokens leave no room for an answer of 48"):
        check_records([row], [replace(reads, max_tokens=size + 47)], answers=())


def test_too_short_is_found_and_lengths_become_known(good: list[Record], hears: AudioCollator, tmp_path: Path) -> None:
    rows = [replace(row, duration_s=None) for row in good]
    found = check_records([*rows, record(7, tmp_path, noise(0.01))], [hears], "drop")
    assert [row.duration_s for row in found.records] == [1.0, 1.1]
    assert found.dropped_counts == Counter({"too short": 1})


def test_audio_that_many_records_share_is_decoded_once(
    good: list[Record], hears: AudioCollator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    through = checking.check_audio
    monkeypatch.setattr(checking, "check_audio", lambda row: seen.append(row.id) or through(row))
    bad = [replace(not_finite(good[0], tmp_path), id=f"bad-{i}") for i in range(2)]
    with pytest.raises(UnusableData) as caught:
        check_records([*good, *(replace(row, id=row.id + "-again") for row in good), *bad], [hears], threads=2)
    assert sorted(seen) == ["bad-0", "clip-0", "clip-1"]
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()[1:]] == ["bad-0", "bad-1"]


def test_a_recording_held_out_is_not_trained_on(good: list[Record], audio_folder: Path, tmp_path: Path) -> None:
    write_records(tmp_path / "held.jsonl", [replace(good[0], id="held", split="test")])
    with pytest.raises(UnusableRecord, match=r"0\.wav lies in train \(clip-0\) and test \(held\)"):
        sft(audio_folder, good, tmp_path, "--held", str(tmp_path / "held.jsonl"))


def test_where_no_summary_is_known_no_gain_is_measured(
    good: list[Record], hears: AudioCollator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = TrainConfig(max_steps=1, per_device_train_batch_size=1, learning_rate=1e-3, lora_rank=2, audio_gain_steps=1)
    model: Any = None

    def measures_gain(records: list[Record]) -> bool:
        callbacks = build_callbacks(how, model, hears, records, tmp_path)
        return any(isinstance(callback, AudioGainCallback) for callback in callbacks)

    assert measures_gain(good)
    assert not measures_gain([replace(row, summary="") for row in good])
    assert "the audio gain is not measured" in capsys.readouterr().out
    gain = build_callbacks(how, model, hears, [*good, *(replace(row, written="Bob.") for row in good)], tmp_path)[-1]
    assert isinstance(gain, AudioGainCallback)
    assert [row.written for row in gain.records] == [None, None]
