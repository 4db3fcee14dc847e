import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.training.example_answers import GOOD, told_by_anna
from tests.training.tiny_checkpoints import record
from training.data.record import Record
from training.llm.judge import Judge
from training.recipes.pair_rules import (
    PairSelector,
    ScoredAnswer,
    balance_pair_lengths,
    best_pair,
    comparable_pairs,
    goodness,
    preferred_pair,
)


@pytest.fixture
def anna_record(tmp_path: Path) -> Record:
    return told_by_anna(tmp_path, None)


def test_what_is_covered_is_good_and_what_is_invented_or_said_twice_is_not(anna_record: Record) -> None:
    assert goodness(anna_record, GOOD) == pytest.approx(0.75)
    assert goodness(anna_record, "Anna wants two pumps on Monday in Leeds.") == pytest.approx(1.0)
    assert goodness(anna_record, "") == 0
    assert goodness(anna_record, "Anna wants two pumps on Friday.") < goodness(anna_record, "Anna wants two pumps.")
    assert goodness(anna_record, f"{GOOD}\n{GOOD}") < goodness(anna_record, GOOD)


def scored_answer(words: int, goodness: float, ended: bool = True) -> ScoredAnswer:
    return ScoredAnswer(" ".join(["word"] * words), ended, goodness)


def test_the_pair_that_lies_furthest_apart_is_taken() -> None:
    answers = [scored_answer(10, 0.4), scored_answer(11, 0.9), scored_answer(9, 0.1), scored_answer(10, 0.8)]
    assert best_pair(answers, 0.1, 1.5) == (answers[1], answers[2])


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([scored_answer(10, 0.5), scored_answer(10, 0.45)], "alike"),
        ([scored_answer(10, 0.5), scored_answer(0, 0.0)], "alike"),
        ([scored_answer(10, 0.9, ended=False), scored_answer(10, 0.1)], "no end"),
        ([scored_answer(10, 0.9), scored_answer(16, 0.1)], "length"),
        ([scored_answer(16, 0.9), scored_answer(10, 0.1)], "length"),
    ],
)
def test_what_is_no_pair_says_why(answers: list[ScoredAnswer], why: str) -> None:
    assert best_pair(answers, 0.1, 1.5) == why


def test_a_pair_of_like_length_goes_before_one_that_lies_further_apart() -> None:
    long, good, bad = scored_answer(30, 0.9), scored_answer(11, 0.6), scored_answer(10, 0.1)
    assert best_pair([long, good, bad], 0.1, 1.5) == (good, bad)


def test_an_answer_that_is_right_and_alone_is_right_by_luck() -> None:
    lucky, sure, wrong = (
        replace(scored_answer(10, good), agreement=a) for good, a in ((0.9, 0.2), (0.6, 0.5), (0.1, 0.3))
    )
    assert best_pair([lucky, sure, wrong], 0.1, 1.5) == (lucky, wrong)
    assert best_pair([lucky, sure, wrong], 0.1, 1.5, 0.1) == (sure, wrong)
    assert best_pair([lucky, wrong], 0.1, 1.5, 0.0) == "better by luck"
    assert best_pair([lucky, wrong], 0.1, 1.5, -0.1) == (lucky, wrong)


@pytest.mark.parametrize(
    ("ratios", "kept"),
    [
        ([], []),
        ([1.2], [0]),
        ([1.25, 0.8], [0, 1]),
        ([1.2, 1.5, 0.8, 1.1], [0, 2, 3]),
        ([0.7, 1.3, 0.9, 0.6], [0, 1, 2]),
        ([1.4, 1.3, 0.6], [0, 1, 2]),
        ([1.0, 1.0], [0, 1]),
    ],
)
def test_what_makes_one_side_longer_is_left_out(ratios: list[float], kept: list[int]) -> None:
    assert balance_pair_lengths(ratios) == kept


def test_what_is_kept_is_as_long_on_both_sides_to_within_a_pair() -> None:
    ratios = [1 + ((7 * place) % 11 - 3) / 20 for place in range(200)]
    kept = [ratios[place] for place in balance_pair_lengths(ratios)]
    assert sum(map(math.log, ratios)) > 10
    assert 0 <= sum(map(math.log, kept)) < math.log(max(kept))
    assert len(kept) > 100


def test_the_worse_answer_may_have_no_end() -> None:
    good, endless = scored_answer(10, 0.9), scored_answer(12, 0.1, ended=False)
    assert best_pair([endless, good], 0.1, 1.5) == (good, endless)


def answer_saying(text: str, ended: bool = True) -> ScoredAnswer:
    return ScoredAnswer(text, ended, 0.0)


def test_a_judge_is_asked_of_every_two_that_could_be_a_pair() -> None:
    one, two, long, endless = (
        answer_saying("a b c"),
        answer_saying("d e f"),
        answer_saying("g " * 9),
        answer_saying("h i j", ended=False),
    )
    texts = [one, two, answer_saying("a b c"), answer_saying(""), long, endless]
    found = comparable_pairs(texts, 1.5)
    assert not isinstance(found, str)
    assert [(a.text, b.text) for a, b in found] == [("a b c", "d e f"), ("a b c", "h i j"), ("d e f", "h i j")]
    assert comparable_pairs([one, one, answer_saying("")], 1.5) == "alike"
    assert comparable_pairs([endless, answer_saying("k l m", ended=False)], 1.5) == "no end"
    assert comparable_pairs([one, long], 1.5) == "length"


def test_the_judges_clearest_preference_is_the_pair() -> None:
    one, two, three = answer_saying("a"), answer_saying("b"), answer_saying("c")
    pairs = [(one, two), (one, three), (two, three)]
    assert preferred_pair(pairs, [1.0, -2.5, "flip"], 1.0) == (three, one)
    assert preferred_pair(pairs, [1.0, -0.5, 0.0], 1.0) == (one, two)


@pytest.mark.parametrize(
    ("ahead", "why"),
    [
        (["flip", "flip"], "flip"),
        (["flip", 0.5], "alike"),
        ([0.0, -0.5], "alike"),
        (["no verdict", "flip"], "flip"),
        (["no verdict", "no verdict"], "no verdict"),
        ([-3.0, 0.5], "no end"),
    ],
)
def test_what_came_nearest_to_a_pair_says_why_there_is_none(ahead: list[float | str], why: str) -> None:
    one, endless = answer_saying("a"), answer_saying("b", ended=False)
    assert preferred_pair([(one, endless), (one, answer_saying("c"))], ahead, 1.0) == why


def test_the_one_that_has_no_end_may_lose(anna_record: Record) -> None:
    one, endless = answer_saying("a"), answer_saying("b", ended=False)
    assert preferred_pair([(endless, one)], [-2.0], 1.0) == (one, endless)


def test_each_record_goes_to_whom_it_can_be_judged_by(anna_record: Record, tmp_path: Path) -> None:
    class Preferring(Judge):
        """Likes what comes later in the alphabet."""

        def prefer(self, pairs: Any) -> list[float | str]:
            return [2.0 if one > other else -2.0 for _, one, other in pairs]

    bare = record(2, tmp_path, facts=[], transcript="Anna here.")
    rows = [bare, anna_record, bare]
    answers = [
        [answer_saying("a"), answer_saying("b"), answer_saying("c")],
        [ScoredAnswer(GOOD, True, 0.75), answer_saying(GOOD[:-1])],
        [answer_saying("x")],
    ]
    choice = PairSelector(0.1, 1.5, Preferring(None, "big"))
    first, second, third = choice.pairs(rows, answers)
    assert not isinstance(first, str)
    assert first[0].text > first[1].text
    assert second == (answers[1][0], answers[1][1])
    assert third == "alike"
    assert choice.judged_by == {"big": 2, "counted facts": 1}
    assert choice.comparisons == {"in both orders": 3}
    assert PairSelector(0.1, 1.5).pairs(rows, answers)[0] == "no facts"
