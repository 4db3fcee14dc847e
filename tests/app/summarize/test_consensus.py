"""The summary that the others agree with most is chosen."""

import json

import pytest

from app.summarize.consensus import agreement, choose_candidate, word_weights

ROOF = "The roof leaks, and Tom orders tiles for $4,200."
SAME = "Tom will order tiles for the leaking roof, for 4200 dollars."
OTHER = "The garden is nice, and Susan likes 12 flowers."


def between(one: str, other: str) -> float:
    return agreement(word_weights(one), word_weights(other))


def test_agreement_is_that_of_the_words_from_none_to_all() -> None:
    assert between(ROOF, ROOF) == 1
    assert between(ROOF, OTHER) == 0
    assert 0.4 < between(ROOF, SAME) < 1
    assert between(ROOF, SAME) == between(SAME, ROOF)
    assert between("", "") == 1
    assert between("", ROOF) == 0


def test_names_and_figures_weigh_more_than_other_words() -> None:
    base = "Then Tom pays 300 dollars for a green door."
    assert between(base, "Then Tom pays 300 dollars for a red door.") > between(
        base, "Then Tom pays 400 dollars for a green door."
    )
    assert between(base, "Then Tom pays 300 dollars for a red door.") > between(
        base, "Then Bob pays 300 dollars for a green door."
    )


def test_a_language_without_spaces_is_compared_by_its_characters() -> None:
    assert 0.3 < between("屋根が漏れる", "屋根が漏れた") < 1


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_what_most_say_is_chosen_wherever_it_stands(place: int) -> None:
    texts = [SAME, ROOF, ROOF.replace("orders", "buys")]
    texts.insert(place, OTHER)
    assert texts[choose_candidate(texts, [0] * 4)] != OTHER


def test_of_equal_ones_the_first_is_chosen() -> None:
    assert choose_candidate([ROOF, ROOF], [0, 0]) == 0
    assert choose_candidate([ROOF], [3]) == 0


def test_what_was_not_heard_counts_against_a_candidate() -> None:
    texts = [ROOF, ROOF + " It rains.", ROOF + " It snows."]
    assert choose_candidate(texts, [0, 0, 0]) == 0
    assert choose_candidate(texts, [2, 1, 0]) == 2
    assert choose_candidate(texts, [100, 100, 99]) == 0, "the penalty has an end"


def test_in_json_only_the_values_are_compared() -> None:
    answers = [json.dumps({"decisions": text, "open_questions": ""}) for text in (ROOF, OTHER)]
    assert agreement(*(word_weights(one, is_json=True) for one in answers)) == 0
    assert agreement(*(word_weights(one) for one in answers)) > 0
