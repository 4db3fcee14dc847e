import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.training.example_answers import GOOD, told_by_anna
from tests.training.llm.fake_llm_server import standing_in
from tests.training.tiny_checkpoints import noise
from training.__main__ import main
from training.data.record import Record
from training.data.record_files import read_records
from training.kd.rollout import Answer, TransformersRollout


@pytest.fixture
def told(tmp_path: Path) -> Record:
    return told_by_anna(tmp_path, noise(0.6))


def answers_with_end(writer: TransformersRollout, texts: list[str]) -> list[Answer]:
    """These answers, as the writer would have sampled them."""
    tokenizer = writer.collator.tokenizer
    return [Answer([*tokenizer(text)["input_ids"], tokenizer.eos_token_id], True) for text in texts]


def test_the_command_writes_pairs_and_says_what_it_dropped(
    audio_folder: Path,
    told: Record,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tries = iter([GOOD, "Somebody came.", "Nobody wants anything at all.", "Somebody came."])

    def sample(self: TransformersRollout, model: object, records: list[Record], questions: object) -> list[Answer]:
        """The first record's answers lie apart, the second's do not."""
        assert [r.id for r in records] == ["clip-1", "clip-2"]
        return answers_with_end(self, [next(tries) for _ in records])

    monkeypatch.setattr(TransformersRollout, "sample", sample)
    folder = tmp_path / "data"
    folder.mkdir()
    data = folder / "records.jsonl"
    data.write_text("".join(r.to_json() + "\n" for r in (told, replace(told, id="clip-2"))))
    out = tmp_path / "pairs" / "pairs.jsonl"
    command = ["pairs", "--base", str(audio_folder), "--data", str(data), "--out", str(out), "--samples", "2"]
    assert main([*command, "--batch", "2", "--rank", "2"]) == 0
    (row,) = read_records(out)
    assert (row.id, row.chosen, row.rejected) == ("clip-1", GOOD, "Nobody wants anything at all.")
    assert Path(str(row.audio)).is_file()
    report = json.loads(out.with_suffix(".report.json").read_text())
    assert (report["records"], report["pairs"], report["dropped"]) == (2, 1, {"alike": 1})
    assert (report["length_ratio"], report["length_ratios"], report["length_ratio_limit"]) == (1.2, [1.2, 1.2], 1.5)
    assert (report["judge"], report["judged_by"]) == ("counted facts", {"counted facts": 2})
    assert report["data"] == {"records": 2, "dropped": {}}
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == report


@pytest.fixture
def three_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every record is answered, in turn, with two of like length and one that is empty."""
    tries = itertools.cycle([GOOD, "Somebody wants two pumps.", ""])

    def sample(self: TransformersRollout, model: object, records: list[Record], questions: object) -> list[Answer]:
        return answers_with_end(self, [next(tries)] * len(records))

    monkeypatch.setattr(TransformersRollout, "sample", sample)


def test_lengths_are_balanced_where_that_is_asked_for(
    audio_folder: Path, told: Record, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of three whose better answer is 1.2, 2 and 0.9 times as long, the second makes it longer on the whole."""
    worse = ["Nobody wants anything at all.", "Nobody wants anything.", "Nobody wants anything at all, we hear."]
    tries = itertools.cycle([[GOOD] * 3, worse])

    def sample(self: TransformersRollout, model: object, records: list[Record], questions: object) -> list[Answer]:
        return answers_with_end(self, next(tries))

    monkeypatch.setattr(TransformersRollout, "sample", sample)
    rows = [replace(told, id=name) for name in ("one", "two", "three")]
    flags = ["--samples", "2", "--length-ratio", "3"]
    made, report = run_pairs(audio_folder, rows, tmp_path / "p.jsonl", *flags)
    assert ([r.id for r in made], report["dropped"]) == (["one", "two", "three"], {})
    assert report["length_ratio"] > 1.1
    made, report = run_pairs(audio_folder, rows, tmp_path / "p.jsonl", *flags, "--balance-lengths")
    assert ([r.id for r in made], report["dropped"]) == (["one", "three"], {"balance of lengths": 1})
    assert report["length_ratio"] < 1.1


def test_answers_that_are_kept_can_be_chosen_among_anew(
    audio_folder: Path, told: Record, three_answers: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [replace(told, id=name) for name in ("one", "two")]
    made, sampled = run_pairs(audio_folder, rows, tmp_path / "p.jsonl")
    kept = tmp_path / "p.answers.jsonl"
    assert [json.loads(line) for line in kept.read_text().splitlines()] == [
        {
            "id": name,
            "answers": [{"text": text, "ended": True} for text in (GOOD, "Somebody wants two pumps.", "")],
        }
        for name in ("one", "two")
    ]
    monkeypatch.delattr(TransformersRollout, "sample")
    monkeypatch.setattr("training.recipes.pairs.open_student", None)  # no model is opened
    data, out = ["--data", str(tmp_path / "records.jsonl")], tmp_path / "again.jsonl"
    command = ["pairs", "--answers", str(kept), *data, "--out", str(out)]
    assert main(command) == 0
    assert read_records(out) == made
    report = json.loads(out.with_suffix(".report.json").read_text())
    assert report.pop("answers") == str(kept)
    assert report == {name: value for name, value in sampled.items() if name in report}
    assert sampled.keys() - report.keys() == {"samples", "temperature", "answer_tokens", "seed"}
    assert not out.with_suffix(".answers.jsonl").exists()
    with pytest.raises(ValueError, match=r"no pair was found: \{'alike': 2\}"):
        main([*command, "--margin", "1.5"])
    kept.write_text(kept.read_text().splitlines()[0] + "\n")
    with pytest.raises(ValueError, match="no answers to 1 of 2 records, two among them"):
        main(command)
    with pytest.raises(ValueError, match="either --base is needed"):
        main(["pairs", *data, "--out", str(out)])


def test_the_other_answers_can_be_asked_whether_the_better_one_is_lucky(told: Record, tmp_path: Path) -> None:
    data, kept = tmp_path / "records.jsonl", tmp_path / "kept.answers.jsonl"
    data.write_text(told.to_json() + "\n")
    often = "Somebody wants something else on Friday."
    texts = [GOOD, often, often, "Somebody wants something else again."]
    answers = [{"text": text, "ended": True} for text in texts]
    kept.write_text(json.dumps({"id": told.id, "answers": answers}) + "\n")
    out = tmp_path / "pairs.jsonl"
    command = ["pairs", "--answers", str(kept), "--data", str(data), "--out", str(out), "--length-ratio", "2"]
    assert main(command) == 0
    assert [row.chosen for row in read_records(out)] == [GOOD]
    with pytest.raises(ValueError, match="better by luck"):
        main([*command, "--agreement-margin", "0.05"])
    assert json.loads(out.with_suffix(".report.json").read_text())["agreement_margin"] is None


def comparing(asked: dict[str, Any]) -> str:
    """A judge that reads: who knows the day is better, wherever it stands."""
    told = asked["messages"][1]["content"]
    first = told[told.index("<first>") : told.index("</first>")]
    return json.dumps({"first": 6, "second": 3} if "Monday" in first else {"first": 3, "second": 6})


def run_pairs(base: Path, rows: list[Record], out: Path, *more: str) -> tuple[list[Record], dict[str, Any]]:
    data = out.parent / "records.jsonl"
    data.write_text("".join(r.to_json() + "\n" for r in rows))
    command = ["pairs", "--base", str(base), "--data", str(data), "--out", str(out), "--samples", "3", "--rank", "2"]
    assert main([*command, *more]) == 0
    return read_records(out), json.loads(out.with_suffix(".report.json").read_text())


def test_a_judge_that_compares_makes_the_pairs_where_no_facts_are_known(
    audio_folder: Path, told: Record, three_answers: None, tmp_path: Path
) -> None:
    rows = [replace(told, id="bare", facts=[]), told]
    with standing_in(comparing) as judge:
        made, report = run_pairs(audio_folder, rows, tmp_path / "p.jsonl", "--judge", f"{judge.url}#big")
    assert [r.id for r in made] == ["bare", "clip-1"]
    assert [(r.chosen, r.rejected) for r in made] == [(GOOD, "Somebody wants two pumps.")] * 2
    assert report["judged_by"] == {"big": 1, "counted facts": 1}
    assert report["judge"] == "big and counted facts"
    assert report["comparisons"] == {"in both orders": 1}
    asked = [question["messages"][1]["content"] for question in judge.asked]
    assert len(asked) == 2, "one pair, both orders; nobody is asked about the empty answer"
    assert sum(f"<first>\n{GOOD}" in text for text in asked) == sum(f"<second>\n{GOOD}" in text for text in asked) == 1
    assert all(told.transcript in text and told.query in text for text in asked)


def test_the_judge_may_be_asked_even_where_facts_are_known(
    audio_folder: Path, told: Record, three_answers: None, tmp_path: Path
) -> None:
    with standing_in(comparing) as judge:
        flags = ["--judge", judge.url, "--by", "judge"]
        made, report = run_pairs(audio_folder, [told], tmp_path / "p.jsonl", *flags)
    assert (made[0].chosen, report["judge"], report["judged_by"]) == (GOOD, "big", {"big": 1})
    with pytest.raises(ValueError, match="--judge URL#MODEL"):
        run_pairs(audio_folder, [told], tmp_path / "p.jsonl", "--by", "judge")


def test_a_judge_that_always_prefers_the_first_makes_no_pair(
    audio_folder: Path, told: Record, three_answers: None, tmp_path: Path
) -> None:
    rows = [replace(told, id=f"bare-{i}", facts=[]) for i in range(3)]
    with standing_in(lambda asked: '{"first": 7, "second": 1}') as judge:
        with pytest.raises(ValueError, match=r"no pair was found: \{'flip': 3\}"):
            run_pairs(audio_folder, rows, tmp_path / "p.jsonl", "--judge", judge.url)
        made, report = run_pairs(audio_folder, [*rows, told], tmp_path / "p.jsonl", "--judge", judge.url)
    assert [r.id for r in made] == ["clip-1"], "its facts are counted"
    assert report["dropped"] == {"flip": 3}
    assert report["comparisons"] == {"flip": 3}


def test_without_facts_and_without_a_judge_nothing_is_compared(
    audio_folder: Path, told: Record, three_answers: None, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"\{'no facts': 1\}; records without facts need --judge"):
        run_pairs(audio_folder, [replace(told, facts=[])], tmp_path / "p.jsonl")


def test_no_pair_at_all_is_an_error(audio_folder: Path, told: Record, tmp_path: Path) -> None:
    data = tmp_path / "records.jsonl"
    data.write_text(told.to_json() + "\n")
    command = ["pairs", "--base", audio_folder, "--data", data, "--out", tmp_path / "p.jsonl", "--samples", 1]
    with pytest.raises(ValueError, match="no pair was found"):
        main([*map(str, command), "--rank", "2"])
