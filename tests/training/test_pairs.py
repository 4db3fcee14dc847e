import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.tiny import noise, record
from training import pairs
from training.__main__ import main
from training.corpus.record import Record
from training.examples import read_records
from training.facts import Fact
from training.kd.rollout import Answer
from training.pairs import Written, goodness, pair_of

GOOD = "Anna wants two pumps on Monday."


@pytest.fixture
def told(tmp_path: Path) -> Record:
    facts = [
        Fact("who", "Anna", core=True),
        Fact("when", "Monday"),
        Fact("amount", "two pumps"),
        Fact("where", "Leeds"),
    ]
    said = "Anna here. Two pumps on Monday, in Leeds, please."
    return record(1, tmp_path, noise(0.6), "", transcript=said, facts=facts, style={"style": "headline"})


def test_what_is_covered_is_good_and_what_is_invented_or_said_twice_is_not(told: Record) -> None:
    assert goodness(told, GOOD) == pytest.approx(0.75)
    assert goodness(told, "Anna wants two pumps on Monday in Leeds.") == pytest.approx(1.0)
    assert goodness(told, "") == 0
    assert goodness(told, "Anna wants two pumps on Friday.") < goodness(told, "Anna wants two pumps.")
    assert goodness(told, f"{GOOD}\n{GOOD}") < goodness(told, GOOD)


def written(words: int, goodness: float, ended: bool = True) -> Written:
    return Written(" ".join(["word"] * words), ended, goodness)


def test_the_pair_that_lies_furthest_apart_is_taken() -> None:
    answers = [written(10, 0.4), written(11, 0.9), written(9, 0.1), written(10, 0.8)]
    assert pair_of(answers, 0.1, 1.5) == (answers[1], answers[2])


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([written(10, 0.5), written(10, 0.45)], "alike"),
        ([written(10, 0.5), written(0, 0.0)], "alike"),
        ([written(10, 0.9, ended=False), written(10, 0.1)], "no end"),
        ([written(10, 0.9), written(16, 0.1)], "length"),
        ([written(16, 0.9), written(10, 0.1)], "length"),
    ],
)
def test_what_is_no_pair_says_why(answers: list[Written], why: str) -> None:
    assert pair_of(answers, 0.1, 1.5) == why


def test_a_pair_of_like_length_goes_before_one_that_lies_further_apart() -> None:
    long, good, bad = written(30, 0.9), written(11, 0.6), written(10, 0.1)
    assert pair_of([long, good, bad], 0.1, 1.5) == (good, bad)


def test_the_worse_answer_may_have_no_end() -> None:
    good, endless = written(10, 0.9), written(12, 0.1, ended=False)
    assert pair_of([endless, good], 0.1, 1.5) == (good, endless)


def test_the_command_writes_pairs_and_says_what_it_dropped(
    audio_folder: Path,
    told: Record,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tries = iter([GOOD, "Somebody came.", "Nobody wants anything at all.", "Somebody came."])

    def sample(self: pairs.Generated, model: object, records: list[Record]) -> list[Answer]:
        """The first record's answers lie apart, the second's do not."""
        tokenizer = self.collator.tokenizer
        assert [r.id for r in records] == ["clip-1", "clip-2"]
        texts = [next(tries) for _ in records]
        return [Answer([*tokenizer(text)["input_ids"], tokenizer.eos_token_id], True) for text in texts]

    monkeypatch.setattr(pairs.Generated, "sample", sample)
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
    assert report == {"records": 2, "pairs": 1, "dropped": {"alike": 1}, "length_ratio": 1.2}
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == report


def test_no_pair_at_all_is_an_error(audio_folder: Path, told: Record, tmp_path: Path) -> None:
    data = tmp_path / "records.jsonl"
    data.write_text(told.to_json() + "\n")
    command = ["pairs", "--base", audio_folder, "--data", data, "--out", tmp_path / "p.jsonl", "--samples", 1]
    with pytest.raises(ValueError, match="no pair was found"):
        main([*map(str, command), "--rank", "2"])
