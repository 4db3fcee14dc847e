"""Coverage, inventions and repetition are counted as a reader would judge them."""

import pytest

from training.facts.coverage import Fact, count_facts, hallucinations, is_covered, repetition_rate

SOURCE = "Hi, this is Maria from Brookdale. The roof will cost forty-two hundred dollars and Tom Reed will order the tiles by Friday at half past three, not on Monday. Rent is up 25%."  # noqa: E501


@pytest.mark.parametrize(
    ("fact", "summary", "expected"),
    [
        (Fact("amount", "$4,200"), "The roof costs 4200 dollars.", True),
        (Fact("amount", "$4,200"), "The roof costs 4300 dollars.", False),
        (Fact("when", "Friday at half past three"), "Due Friday at 3:30 p.m.", True),
        (Fact("when", "Friday at half past three"), "Due Friday. The call is at 3:30.", False),
        (Fact("action", "Tom order the tiles", [["Tom", "order the tiles"]]), "Tom will order tiles.", True),
        (Fact("action", "Tom order the tiles", [["Tom", "order the tiles"]]), "Maria will order tiles.", False),
        (Fact("what", "the roof", ["roof", "roofing"]), "Roofing starts soon.", True),
        (Fact("problem", "the pump started leaking again"), "The pump was leaking again.", True),
        (Fact("problem", "the pump started leaking again"), "The pump was replaced.", False),
    ],
)
def test_covered(fact: Fact, summary: str, expected: bool) -> None:
    assert is_covered(fact, summary) is expected


def test_counts_core_and_all() -> None:
    facts = [Fact("who", "Maria", core=True), Fact("amount", "$4,200", core=True), Fact("when", "Friday")]
    counts = count_facts(facts, "Maria says it is due Friday.", SOURCE)
    assert (counts.core_covered, counts.core_total, counts.covered, counts.total) == (1, 2, 2, 3)
    assert counts.hallucinated == []


@pytest.mark.parametrize(
    ("summary", "invented"),
    [
        ("Tom Reed will order the tiles for $4,200 by Friday at 3:30.", []),
        ("Rent is up twenty-five percent.", []),
        ("Tom will order the tiles by Thursday.", ["thursday"]),
        ("The roof costs $4,800.", ["4800"]),
        ("Rent is up 25 dollars.", []),
        ("Tiles are ordered by Peter Novak.", ["Peter Novak"]),
        ("Maria Lopez called about the roof.", ["Maria Lopez"]),
        ("Delivery is due on Friday. Everybody agreed.", []),
        ("- Maria: the roof\n- Tom: tiles\n1. Rent", []),
    ],
)
def test_hallucinations(summary: str, invented: list[str]) -> None:
    assert hallucinations(summary, SOURCE) == invented


def test_repetition() -> None:
    assert repetition_rate("The roof leaks and Tom will fix it on Friday.") == 0
    assert repetition_rate("- Tom will call\n- Tom will call\n- Tom will call") > 0.6
    assert repetition_rate("") == 0


def test_fact_survives_json() -> None:
    fact = Fact("action", "Tom order", [["Tom", "order"], "ordering"], core=True)
    assert Fact.from_json(fact.to_json()) == fact
