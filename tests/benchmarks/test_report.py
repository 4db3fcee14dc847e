"""What every benchmark prints: a table, and one line of JSON that says where and how it was measured."""

import json

import pytest

from benchmarks.__main__ import MODULES, load_benchmark, main
from benchmarks.intervals import mean_interval, percentile, ratio_interval
from benchmarks.machine import describe_machine
from benchmarks.report import Results, format_table, json_line

TABLE = """\
| format | seconds |
|--------|--------:|
| wav    |    0.12 |
| mp3    |   1,234 |
| amr    |         |"""


def test_a_table_is_aligned_in_its_source() -> None:
    assert format_table(["format", "seconds"], [["wav", 0.12], ["mp3", 1234.2], ["amr", None]]) == TABLE


def test_a_row_with_a_missing_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        Results("a title", ["format", "seconds"], [["wav"]])


def test_the_line_of_json_holds_everything() -> None:
    results = Results("a title", ["format", "seconds"], [["wav", 0.12]], {"best_s": 0.12})
    line = json_line("decode", False, 3.14159, describe_machine(), results)
    assert "\n" not in line
    whole = json.loads(line)
    assert whole["benchmark"] == "decode"
    assert whole["seconds"] == 3.1
    assert whole["machine"]["cores"] >= 1
    assert whole["machine"]["processor"]
    assert whole["rows"] == [["wav", 0.12]]
    assert whole["summary"] == {"best_s": 0.12}


def test_intervals() -> None:
    interval = mean_interval([9, 10, 11])
    assert interval.mean == 10
    assert interval.high - interval.mean == pytest.approx(4.303 * 1 / 3**0.5, rel=1e-3)
    with pytest.raises(ValueError, match="at least two"):
        mean_interval([1.0])
    assert percentile([1, 2, 3], 50) == 2


def test_the_ratio_of_paired_repeats_ignores_what_slows_both() -> None:
    ratio = ratio_interval([10, 5, 20.2], [10, 5, 20])
    assert ratio.mean == pytest.approx(1.0033, abs=1e-3)
    assert 0.98 < ratio.low < ratio.high < 1.03


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_says_what_it_measures(name: str) -> None:
    benchmark = load_benchmark(name)
    assert name == benchmark.NAME
    assert len(benchmark.THEORY.split()) > 40
    assert callable(benchmark.run)


def test_the_command_names_the_benchmarks_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "'overhead'" in capsys.readouterr().err
