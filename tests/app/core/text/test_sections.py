"""Sections of a transcript: nothing is lost, they are of similar length, and they end with sentences."""

import pytest

from app.core.asr.transcript import TranscriptSegment
from app.core.prompts import notes_text
from app.core.text.sections import Section, split_into_sections, split_notes_into_sections


def count_words(text: str) -> int:
    return len(text.split())


def segments(*texts: str) -> list[TranscriptSegment]:
    """Segments of ten seconds each."""
    return [
        TranscriptSegment(10.0 * number, 10.0 * number + 9, text, -0.3, 1.2, 0.05) for number, text in enumerate(texts)
    ]


def split(text: str | list[str], words: int, most: int = 8) -> list[str]:
    texts = [text] if isinstance(text, str) else text
    return [section.text for section in split_into_sections(segments(*texts), words, most, count_words)]


def sentences(*lengths: int, end: str = ".") -> str:
    return " ".join(
        " ".join(f"w{number}-{word}" for word in range(length)) + end for number, length in enumerate(lengths)
    )


@pytest.mark.parametrize("lengths", [(10,) * 12, (3, 40, 2, 2, 2, 30, 5), (1,) * 50, (100, 1), (1, 100)])
@pytest.mark.parametrize("words", [10, 25, 1000])
def test_sections_hold_every_word_in_order(lengths: tuple[int, ...], words: int) -> None:
    text = sentences(*lengths)
    sections = split(text, words)
    assert " ".join(sections) == text
    assert all(sections)
    assert len(sections) <= 8


def test_a_section_ends_with_a_sentence() -> None:
    sections = split(sentences(9, 14, 8, 11, 10, 12), 20)
    assert len(sections) == 3
    assert all(section.endswith(".") for section in sections)
    assert all(14 <= count_words(section) <= 27 for section in sections)


def test_what_is_little_longer_than_a_section_stays_whole() -> None:
    assert len(split(sentences(10, 10, 9), 20)) == 1
    assert len(split(sentences(10, 10, 11), 20)) == 2


def test_a_question_stays_with_its_answer() -> None:
    text = f"{sentences(8)} {sentences(4, end='?')} {sentences(4)} {sentences(8)}"
    first, second = split(text, 12)
    assert (first.endswith("."), second.endswith(".")) == (True, True)
    assert not first.endswith("?")


def test_a_long_text_has_longer_sections_but_not_more() -> None:
    sections = split(sentences(*(10,) * 100), 20, most=5)
    assert [count_words(section) for section in sections] == [200] * 5


def test_a_transcript_without_punctuation_is_cut_between_segments() -> None:
    texts = ["one two three four", "five six seven eight", "nine ten eleven twelve", "thirteen fourteen"]
    assert split(texts, 8) == [" ".join(texts[:2]), " ".join(texts[2:])]


def test_a_sentence_may_reach_over_several_segments() -> None:
    texts = ["Anna calls about", "the blue car. She", "wants it on Friday. Then", "she leaves."]
    first, second = split_into_sections(segments(*texts), 7, 8, count_words)
    assert first == Section("Anna calls about the blue car.", 0.0, 19.0)
    assert second == Section("She wants it on Friday. Then she leaves.", 10.0, 39.0)


def test_chinese_sentences_need_no_spaces_between_them() -> None:
    texts = segments("安娜打电话来。她想买车。她星期五来。她再见。")
    sections = split_into_sections(texts, 10, 8, len)
    assert len(sections) == 2
    assert all(section.text.endswith("。") for section in sections)


def test_decimal_points_and_abbreviations_within_a_word_end_no_sentence() -> None:
    assert split("It costs 3.50 in all and 4.20 with the delivery on Friday.", 5) == [
        "It costs 3.50 in all and 4.20 with the delivery on Friday."
    ]


@pytest.mark.parametrize("nothing", [[], [""], ["  ", "\n"]])
def test_nothing_has_no_sections(nothing: list[str]) -> None:
    assert split(nothing, 10) == []


def test_notes_are_divided_between_lines_and_every_section_has_its_times() -> None:
    notes = notes_text([(0, "- one two\n- three four"), (300, "- five six"), (3725, "- seven eight\n- nine ten")])
    first, second = split_notes_into_sections(notes, 8, 8, count_words)
    assert first == Section("[0:00:00]\n- one two\n- three four", 0.0, 0.0)
    assert second == Section("[0:05:00]\n- five six\n[1:02:05]\n- seven eight\n- nine ten", 300.0, 3725.0)


def test_notes_that_mention_a_time_in_brackets_stay_whole() -> None:
    (only,) = split_notes_into_sections(notes_text([(60, "- The train leaves [0:05:00].")]), 90, 8, count_words)
    assert only == Section("[0:01:00]\n- The train leaves (0:05:00).", 60.0, 60.0)


def test_no_notes_have_no_section() -> None:
    assert split_notes_into_sections("", 90, 8, count_words) == []
