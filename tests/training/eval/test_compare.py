import json
from pathlib import Path
from typing import Any

import pytest

from training.__main__ import main
from training.eval.compare import paired_differences
from training.eval.earlier_results import UnknownSystem


def row(number: int, core: int, invented: int, rouge: float | None = None) -> dict[str, Any]:
    """Counts of a summary of two core facts, of four in all."""
    counts = {"core_covered": core, "core_total": 2, "covered": core, "total": 4, "hallucinated": ["x"] * invented}
    more = {} if rouge is None else {"rougeL": rouge}
    return {"id": f"r{number}", "recording": f"r{number}", "words": 10, "repetition": 0.0} | counts | more


def test_each_recording_is_compared_with_itself() -> None:
    """Recordings differ by all that there is; the second is ahead by one fact in every one, whatever is drawn."""
    first = [row(i, core=i % 2, invented=i) for i in range(10)]
    second = [row(i, core=i % 2 + 1, invented=i + 2) for i in reversed(range(10))]
    found = paired_differences(first, second)
    assert (found["core_coverage"], found["core_coverage_95"]) == (0.5, [0.5, 0.5])
    assert (found["coverage"], found["coverage_95"]) == (0.25, [0.25, 0.25])
    assert (found["hallucinations_per_summary"], found["hallucinations_per_summary_95"]) == (2, [2, 2])
    assert found["facts_less_inventions"] == -1
    assert found["words"] == 0
    assert found["summaries"] == 10


def test_what_differs_by_chance_has_an_interval_around_nothing() -> None:
    first = [row(i, core=0, invented=0) for i in range(40)]
    second = [row(i, core=i % 2, invented=0) for i in range(40)]
    third = [row(i, core=(i + 1) % 2, invented=0) for i in range(40)]
    low, high = paired_differences(second, third)["core_coverage_95"]
    assert low < 0 < high
    low, high = paired_differences(first, second)["core_coverage_95"]
    assert 0 < low < 0.25 < high


def test_a_figure_that_one_of_them_lacks_is_left_out() -> None:
    found = paired_differences([row(0, 1, 0, 0.5), row(1, 1, 0, 0.5)], [row(0, 1, 0, 0.75), row(1, 1, 0)])
    assert found["rougeL"] == 0.25
    del (bare := row(0, 1, 0))["hallucinated"]
    assert "hallucinations_per_summary" not in paired_differences([bare], [row(0, 1, 0)])


def test_two_that_answered_something_else_are_not_compared() -> None:
    with pytest.raises(ValueError, match="not answer the same"):
        paired_differences([row(0, 1, 0)], [row(1, 1, 0)])


def test_it_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    systems = [
        {"system": name, "kind": "hears", "rows": [row(0, n, 0, 0.1), row(1, 1, n)]} for n, name in enumerate("ab")
    ]
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"systems": systems}))
    assert main(["compare", f"{file}#a", f"{file}#b"]) == 0
    said = capsys.readouterr().out
    assert "2 summaries" in said
    assert "Core facts             +25.0% (" in said
    assert main(["compare", f"{file}#a", f"{file}#b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["core_coverage"] == 0.25
    with pytest.raises(UnknownSystem, match="no system 'c'"):
        main(["compare", f"{file}#a", f"{file}#c"])
