"""Sentences are cited with the windows whose rare words they share."""

import pytest

from app.summarize.citations import cite, sentence_spans

NOTES = [
    "- Anna Keller will call the printer before Friday\n- the meeting began late",
    "- the budget of 3,500 francs was agreed\n- the meeting went on",
    "- the meeting ended with the choice of Lisbon",
]


def windows(text: str) -> list[tuple[int, ...]]:
    return [one.windows for one in cite(text, NOTES)]


def test_each_sentence_names_the_window_that_says_it() -> None:
    assert windows("Anna Keller calls the printer. They agreed on 3,500 francs.") == [(1,), (2,)]
    assert windows("- Lisbon was the choice.\n- Friday: Anna calls the printer") == [(3,), (1,)]


def test_what_two_windows_say_names_both() -> None:
    notes = ["the roof must be mended", "again: the roof must be mended", "a cake"]
    (one,) = cite("The roof must be mended.", notes)
    assert one.windows == (1, 2)


def test_what_no_note_says_has_no_window() -> None:
    assert windows("Penguins waddle along Antarctic beaches.") == [()]
    assert windows("The meeting of penguins discussed krill and icebergs and whales.") == [()]
    assert cite("Anything at all.", ["", ""])[0].windows == ()


def test_the_places_are_those_of_the_sentences() -> None:
    text = "Anna calls.  The budget is 3.5 francs!\n\n* It holds."
    assert [text[one.start : one.end] for one in cite(text, NOTES)] == [
        "Anna calls.",
        "The budget is 3.5 francs!",
        "It holds.",
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("---\n- \n", []),
        ("One line", ["One line"]),
        ("# Topic\n- a\n- b", ["Topic", "a", "b"]),
        (
            "\u4f1a\u8bae\u7ed3\u675f\u3002\u4ed6\u8d70\u4e86\uff01",
            ["\u4f1a\u8bae\u7ed3\u675f\u3002", "\u4ed6\u8d70\u4e86\uff01"],
        ),
        ("Er sagte: \u201eJa.\u201c Dann ging er.", ["Er sagte: \u201eJa.\u201c Dann ging er."]),
        ("He paid $4.50 at 10.30 a.m. and left.", ["He paid $4.50 at 10.30 a.m. and left."]),
    ],
)
def test_sentences_are_told_apart(text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in sentence_spans(text)] == found


def test_signs_of_languages_without_spaces_are_compared_one_by_one() -> None:
    notes = ["\u9884\u7b97\u662f\u4e09\u5343", "\u4ed6\u4eec\u53bb\u91cc\u65af\u672c"]
    assert cite("\u53bb\u91cc\u65af\u672c\u3002", notes)[0].windows == (2,)
