"""Sentences are cited with the windows whose rare words they share."""

from collections.abc import Sequence

import pytest

from app.core.audio.windows import Window
from app.engine.base import AnswerSection
from app.summarize.citations import Citation, cite_sections, sentence_spans
from app.summarize.citations import cite as cite_windows

NOTES = [
    "- Anna Keller will call the printer before Friday\n- the meeting began late",
    "- the budget of 3,500 francs was agreed\n- the meeting went on",
    "- the meeting ended with the choice of Lisbon",
]


def cite(text: str, notes: Sequence[str]) -> list[Citation]:
    """Cite windows of ten seconds each."""
    return cite_windows(text, notes, [Window(10.0 * number, 10.0 * number + 9) for number in range(len(notes))])


def windows(text: str) -> list[tuple[int, ...]]:
    return [one.windows for one in cite(text, NOTES)]


def test_each_sentence_names_the_window_that_says_it() -> None:
    assert windows("Anna Keller calls the printer. They agreed on 3,500 francs.") == [(1,), (2,)]
    assert windows("- Lisbon was the choice.\n- Friday: Anna calls the printer") == [(3,), (1,)]


def test_what_two_windows_say_names_both() -> None:
    notes = ["the roof must be mended", "again: the roof must be mended", "a cake"]
    (one,) = cite("The roof must be mended.", notes)
    assert one.windows == (1, 2)
    assert one.times == ((0, 9), (10, 19))


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


def test_a_sentence_of_an_answer_in_sections_comes_from_what_its_section_is_about() -> None:
    text = "Anna calls. She waits. Ben comes."
    sections = [AnswerSection(11, 0.0, 20.5), AnswerSection(22, 20.5, 41.0), AnswerSection(33, 41.0, 60.0)]
    cited = cite_sections(text, sections, 5.0)
    assert [text[one.start : one.end] for one in cited] == ["Anna calls.", "She waits.", "Ben comes."]
    assert [one.times for one in cited] == [((5.0, 25.5),), ((25.5, 46.0),), ((46.0, 65.0),)]
    assert {one.windows for one in cited} == {()}


def test_a_section_without_text_is_the_source_of_nothing() -> None:
    sections = [AnswerSection(11, 0.0, 20.5), AnswerSection(11, 20.5, 41.0), AnswerSection(22, 41.0, 60.0)]
    assert [one.times for one in cite_sections("Anna calls. Ben comes.", sections, 0.0)] == [
        ((0.0, 20.5),),
        ((41.0, 60.0),),
    ]
