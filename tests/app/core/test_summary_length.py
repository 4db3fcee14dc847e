"""A length is understood as people write it, or refused; the prompt has one number."""

import pytest
from pydantic import ValidationError

from app.core.prompts import Style, instruction
from app.core.summary_length import target_word_count


@pytest.mark.parametrize(
    ("wording", "words"),
    [
        ("60", 60), ("60 words", 60), ("60-word", 60), ("60words", 60), ("about 60 words", 60), ("~60 words", 60),
        ("Approximately 60 words.", 60), ("approx. 60", 60), ("ca. 60 words", 60), ("60 words or so", 60),
        ("60-80 words", 70), ("60 \u2013 80", 70), ("60 to 80 words", 70), ("between 60 and 80 words", 70),
        ("about fifty to sixty words", 55), ("max 60 words", 48), ("at most 60 words", 48), ("60 words or less", 48),
        ("up to 5 words", 5), ("at least 50 words", 60), ("at least 1000 words", 1000), ("1,000 words", 1000),
        ("one hundred words", 100), ("a hundred and fifty words", 150), ("twenty-five", 25), ("twenty five words", 25),
        ("twenty to thirty words", 25), ("one thousand", 1000), ("sixty", 60),
    ],
)  # fmt: skip
def test_a_number_of_words_is_understood(wording: str, words: int) -> None:
    assert target_word_count(wording) == words
    style = Style(length=wording)
    assert style.length == str(words)
    assert f"Use about {words} words." in instruction(style)


@pytest.mark.parametrize(
    "wording",
    [
        "4", "1001", "0", "-60", "60.5", "1e3", "99999999999", "60 sentences", "five bullets", "80-60 words", "4-80",
        "60-2000 words", "words", "about", "hundred", "twenty thirty", "five twenty", "short words", "as you like",
        "between 60", "60 60", "٦٠", "60 words " * 2_000,
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_what_would_do(wording: str) -> None:
    with pytest.raises(ValidationError, match="short, medium, long, or a number of words from 5 to 1000"):
        Style(length=wording)
