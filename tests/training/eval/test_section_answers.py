"""A text model's answers in sections, as the service writes them."""

from collections.abc import Sequence
from typing import Any

from training.data.record import Record
from training.eval.section_answers import answer_in_sections


def record(transcript: str, **style: str) -> Record:
    """A record with a request for that style."""
    fields: dict[str, Any] = {"id": "one", "language": "en", "query": "Summarize.", "transcript": transcript}
    return Record.from_fields(fields | {"style": style})


def answers(*records: Record, tokens: int = 4) -> list[str]:
    """The answers of a model that repeats what it reads in capitals. A token is a word."""

    def repeat(parts: Sequence[Record]) -> list[str]:
        return [f"<{part.transcript.upper()}>" for part in parts]

    return answer_in_sections(repeat, records, tokens, lambda text: len(text.split()))


TWO_PARTS = "Ada sings very well. Bo sleeps all day."


def test_a_paragraph_is_joined_with_spaces_and_a_list_with_lines() -> None:
    paragraph, bullets = answers(record(TWO_PARTS, style="paragraph"), record(TWO_PARTS, style="bullets"))
    assert paragraph == "<ADA SINGS VERY WELL.> <BO SLEEPS ALL DAY.>"
    assert bullets == "<ADA SINGS VERY WELL.>\n<BO SLEEPS ALL DAY.>"


def test_what_needs_the_whole_recording_is_answered_in_one_piece() -> None:
    whole = f"<{TWO_PARTS.upper()}>"
    assert (
        answers(
            record(TWO_PARTS, style="headline"),
            record(TWO_PARTS, style="paragraph", focus="the cat"),
            record(TWO_PARTS),
        )
        == [whole] * 3
    )


def test_every_record_gets_its_own_answer() -> None:
    short, long = answers(record("Hello.", style="paragraph"), record(TWO_PARTS, style="paragraph", language="de"))
    assert short == "<HELLO.>"
    assert long.count("<") == 2


def test_an_empty_transcript_has_one_answer() -> None:
    assert answers(record("", style="paragraph")) == ["<>"]
