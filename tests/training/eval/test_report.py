import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.llm.test_judge import GRADE, Client
from tests.training.tiny_checkpoints import record
from training.__main__ import main
from training.data.record import Record
from training.eval import evaluate, report
from training.eval.systems import System, parse_system
from training.facts.coverage import Fact
from training.llm.judge import Judge


def result(name: str, **figures: Any) -> dict[str, Any]:
    known = {
        "recordings": 20,
        "summaries": 20,
        "core_coverage": 0.392,
        "core_coverage_95": [0.27, 0.5],
        "coverage": 0.375,
    }
    known |= {"hallucinations_per_summary": 0.25, "hallucinations_per_summary_95": [0.1, 0.4], "repetition": 0.0}
    return {"system": name, "kind": "service", "figures": known | figures}


def test_a_line_a_system_and_only_columns_that_someone_has() -> None:
    text = report.markdown_table([result("cascade"), result("tiny", core_coverage=0.014, words=21.4)], None)
    header, _, first, second, _, under, *_ = text.splitlines()
    assert "Core facts" in header
    assert "Words" in header
    assert "Judge" not in header
    assert "39.2% (27.0% to 50.0%)" in first
    assert first.endswith("| - |"), "it has no words"
    assert "1.4%" in second
    assert second.endswith("| 21 |")
    assert under.startswith("20 recordings")


def test_the_judge_is_named_under_its_grades() -> None:
    text = report.markdown_table([result("tiny", overall=4.5, adherence=6.0, hallucination=0.25)], "big-judge")
    assert "Judge, 1 to 7" in text
    assert "| 4.50 | 6.00 | 25% |" in text
    assert "Judge: big-judge." in text


class Bert:
    """An encoder that finds everything half alike, and one text too long."""

    name, longest = "small, layer 2 of 2, weights abc", 9

    def __init__(self, folder: Path, layer: int) -> None:
        self.truncated: set[str] = set()

    def f1(self, references: list[str], summaries: list[str]) -> list[float]:
        self.truncated.add("one")
        return [0.5] * len(references)


def test_the_command_writes_one_table_three_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = [Fact("who", "Anna", core=True), Fact("when", "Friday", core=True)]
    said_in = ["Anna here, Friday." + " Bye." * i for i in range(3)]  # three recordings, not one
    rows = [record(i, tmp_path, None, "Anna called.", transcript=t, facts=facts) for i, t in enumerate(said_in)]
    data = tmp_path / "records.jsonl"
    data.write_text("".join(row.to_json() + "\n" for row in rows))
    monkeypatch.setattr(evaluate, "open_judge", lambda spec: Judge(Client(*[GRADE] * 4), "big", 1))
    out = tmp_path / "out" / "ladder.json"
    monkeypatch.setattr(evaluate, "BertScore", Bert)
    monkeypatch.setattr(
        evaluate,
        "parse_system",
        lambda spec, means: other_system if spec == "said=service:x" else parse_system(spec, means),
    )
    other_system = System("said", "reads", lambda records: ["Anna called on Friday." for _ in records])
    command = ["evaluate", "--records", str(data), "--out", str(out), "--limit", "2", "--judge", "http://x#big"]
    assert (
        main([*command, "--system", "own=reference", "--system", "said=service:x", "--bert-model", str(tmp_path)]) == 0
    )
    found = json.loads(out.read_text())
    assert [s["system"] for s in found["systems"]] == ["own", "said"]
    assert found["judge"] == "big"
    figures = found["systems"][0]["figures"]
    assert (figures["recordings"], figures["core_coverage"], figures["overall"], figures["words"]) == (2, 0.5, 5, 2)
    assert found["systems"][0]["rows"][0]["summary"] == "Anna called."
    assert not figures.keys() & {"rouge1", "bertscore"}, "it is what the others are compared with"
    other = found["systems"][1]["figures"]
    assert (other["rouge1"], other["bertscore"], other["core_coverage"]) == (0.6667, 0.5, 1)
    assert other["bertscore_95"] == [0.5, 0.5]
    assert found["bertscore"] == "small, layer 2 of 2, weights abc; 1 texts of more than 9 tokens cut there"
    assert "small, layer 2 of 2" in out.with_suffix(".md").read_text()
    assert "ROUGE" in out.with_suffix(".md").read_text()
    assert out.with_suffix(".md").read_text().splitlines()[0] in capsys.readouterr().out
    assert out.with_suffix(".png").stat().st_size > 1000


def test_a_system_that_is_none_stops_it_before_the_first_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "records.jsonl"
    data.write_text(record(1, tmp_path).to_json() + "\n")
    worked: list[Any] = []
    monkeypatch.setattr(evaluate, "evaluate_system", lambda *a: worked.append(a))
    command = ["evaluate", "--records", str(data), "--out", str(tmp_path / "x.json")]
    with pytest.raises(ValueError, match="oracle"):
        main([*command, "--system", "reference", "--system", "x=oracle:here"])
    assert not worked


def test_what_was_answered_before_a_system_breaks_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(records: list[Record]) -> list[str]:
        raise RuntimeError("gone")

    data, out = tmp_path / "records.jsonl", tmp_path / "ladder.json"
    data.write_text(record(1, tmp_path, None, "Anna called.").to_json() + "\n")
    systems = {"own": System("own", "reference", lambda records: ["Anna called."]), "bad": System("bad", "x", broken)}
    monkeypatch.setattr(evaluate, "parse_system", lambda spec, means: systems[spec])
    with pytest.raises(RuntimeError, match="gone"):
        main(["evaluate", "--records", str(data), "--out", str(out), "--system", "own", "--system", "bad"])
    assert [s["system"] for s in json.loads(out.read_text())["systems"]] == ["own"]
