from pathlib import Path
from typing import Any

from tests.training.tiny_checkpoints import record
from training.eval.scores import aggregate, mean_figures, score_rows, score_summary
from training.facts.coverage import Fact

TRANSCRIPT = "Please send the report to Anna by Friday afternoon."
FACTS = [Fact("who", "Anna", core=True), Fact("when", "Friday", core=True), Fact("what", "the report")]


def row(core: int, facts: int, invented: int = 0, repetition: float = 0.0) -> dict[str, Any]:
    """Counts of a summary of two core facts among four."""
    return {
        "core_covered": core,
        "core_total": 2,
        "covered": facts,
        "total": 4,
        "hallucinated": ["x"] * invented,
        "repetition": repetition,
    }


def test_shares_are_over_all_facts_and_rates_over_recordings() -> None:
    found = aggregate([row(2, 3, 0, 0.1), row(1, 1, 2, 0.3), row(0, 0, 1)] + [row(2, 4)] * 3)
    assert (found["recordings"], found["summaries"]) == (6, 6)
    assert found["core_coverage"] == round(9 / 12, 4)
    assert found["coverage"] == round(16 / 24, 4)
    assert found["hallucinations_per_summary"] == 0.5
    assert found["facts_less_inventions"] == round((16 - 3) / 6, 4)
    assert found["repetition"] == round(0.4 / 6, 4)
    for name in ("core_coverage", "coverage", "hallucinations_per_summary", "facts_less_inventions", "repetition"):
        low, high = found[f"{name}_95"]
        assert low < found[name] < high


def test_intervals_are_the_same_twice_and_narrow_with_more_recordings() -> None:
    few = [row(2, 4), row(0, 0), row(1, 2), row(2, 2)]
    assert aggregate(few) == aggregate(few)
    widths = [high - low for low, high in (aggregate(rows)["coverage_95"] for rows in (few, few * 16))]
    assert widths[1] < 0.5 * widths[0]
    assert aggregate([row(1, 2)] * 5)["coverage_95"] == [0.5, 0.5]


def test_recordings_with_more_facts_count_for_more() -> None:
    many = row(0, 0) | {"core_total": 8}
    assert aggregate([row(2, 4), many])["core_coverage"] == 0.2


def test_a_summary_is_counted(tmp_path: Path) -> None:
    asked = record(1, tmp_path, transcript=TRANSCRIPT, facts=FACTS)
    assert score_summary(asked, "The report goes to Anna by Tuesday.") == {
        "core_covered": 1,
        "core_total": 2,
        "covered": 2,
        "total": 3,
        "hallucinated": ["tuesday"],
        "words": 7,
        "repetition": 0.0,
    }
    assert score_summary(asked, "")["covered"] == 0


def test_means_have_intervals_over_rows() -> None:
    found = mean_figures([{"overall": 7, "x": 0}, {"overall": 1, "x": 0}] * 10, ["overall", "x"])
    assert found["overall"] == 4
    assert found["overall_95"][0] < 4 < found["overall_95"][1]
    assert found["x_95"] == [0, 0]


def test_what_is_about_one_recording_is_drawn_together() -> None:
    """Twenty rows about two recordings know less than twenty about twenty."""
    rows = [row(2, 4)] * 10 + [row(0, 0)] * 10
    apart = aggregate(rows)
    two = aggregate([r | {"recording": "ab"[i // 10]} for i, r in enumerate(rows)])
    assert (apart["recordings"], two["recordings"], two["summaries"]) == (20, 2, 20)
    assert apart["coverage"] == two["coverage"] == 0.5
    assert two["coverage_95"] == [0, 1], "one recording twice in a quarter of the draws"
    low, high = apart["coverage_95"]
    assert 0.2 < low < high < 0.8


def test_rows_say_which_recording_they_are_about(tmp_path: Path) -> None:
    rows = [record(i, tmp_path, audio=audio) for i, audio in enumerate(["/x/1.wav", "/x/2.wav", "/x/1.wav", None])]
    found = score_rows(rows, ["Anna called."] * 4)
    assert [row["recording"] for row in found] == ["clip-0", "clip-1", "clip-0", "clip-3"]
    assert aggregate(found)["recordings"] == 3


def test_equal_ids_of_two_sets_are_two_recordings(tmp_path: Path) -> None:
    paths = ("short/0.wav", "long/0.wav", "short/0.wav")
    records = [record(0, tmp_path, id="test-0", audio=path) for path in paths]
    rows = score_rows(records, ["Anna.", "Anna.", "Friday."])
    assert [row["recording"] for row in rows] == ["test-0", "test-0 (2)", "test-0"]
    assert aggregate(rows)["recordings"] == 2


def test_only_what_can_be_counted_is_a_figure(tmp_path: Path) -> None:
    bare = record(1, tmp_path, facts=[], summary="", transcript="")
    found = aggregate(score_rows([bare], ["Bob paid 3 pounds."]))
    assert found.keys() == {"recordings", "summaries"} | {
        f"{n}{e}" for n in ("words", "repetition") for e in ("", "_95")
    }
    told = aggregate(score_rows([record(2, tmp_path, facts=[]), bare], ["He met Bob, then Anna called.", "Anna."]))
    assert "coverage" not in told
    assert told["hallucinations_per_summary"] == 1, "of the one whose transcript is known"
    assert "facts_less_inventions" not in told
    assert told["rouge1"] == round(2 * (2 / 6) / (1 + 2 / 6), 4), "of the one that has a summary"
    assert told["words"] == 3.5
