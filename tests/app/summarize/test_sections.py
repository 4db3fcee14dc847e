"""Which answers may be written in sections, and what a section is asked."""

from typing import Any

import pytest

from app.core.prompts import Style, Turn
from app.summarize.request import OutputFormat, SummaryRequest
from app.summarize.sections import note_sections, summary_sections
from app.templates.builtin import BUILTIN_TEMPLATES


def request(style: dict[str, Any] | None = None, **changes: Any) -> SummaryRequest:
    return SummaryRequest("x", None, Style(**style or {}), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "count", "language", "instruction"),
    [
        (request(), 3, None, "Summarize the recording in one paragraph."),
        (request(), 3, "de", "Summarize the recording in one paragraph. Write in German."),
        (request({"length": "long"}), 3, None, "Summarize the recording in one paragraph. Use about 50 words."),
        (request({"tone": "formal", "language": "es"}), 2, None,
         "Summarize the recording in one paragraph. Keep the tone formal. Write in Spanish."),
    ],
)  # fmt: skip
def test_a_section_is_asked_like_the_whole_with_its_share_of_the_words(
    asked: SummaryRequest, count: int, language: str | None, instruction: str
) -> None:
    plan = summary_sections(asked)
    assert plan is not None
    assert plan.instruction(count, language) == instruction


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        (request(), 8),
        (request({"length": "medium"}), 2),
        (request({"length": "long"}), 6),
        (request({"length": "1000"}), 8),
        (request(max_tokens=300), 3),
    ],
)
def test_a_short_answer_has_few_sections(asked: SummaryRequest, most: int) -> None:
    plan = summary_sections(asked)
    assert plan is not None
    assert plan.max_sections == most
    assert plan.total_tokens == asked.max_tokens


def test_the_points_of_a_list_stand_in_lines() -> None:
    plan = summary_sections(request({"style": "bullets"}))
    assert plan is not None
    assert plan.separator == "\n"


@pytest.mark.parametrize(
    "asked",
    [
        *(request({"style": style}) for style in ("headline", "minutes", "tldr", "action_items")),
        request({"focus": "money"}),
        request({"instructions": "Name every ship."}),
        request({"length": "short"}),
        request(custom_instruction="Who calls?"),
        request(turns=(Turn("Who calls?", "Anna."),)),
        request(stop=("Then",)),
        request(max_tokens=100),
        request(output_format=OutputFormat(schema={"type": "object"})),
        request(template=next(iter(BUILTIN_TEMPLATES.values()))),
    ],
)
def test_what_needs_the_whole_recording_is_written_in_one_piece(asked: SummaryRequest) -> None:
    assert summary_sections(asked) is None


def test_notes_for_a_summary_in_sections_are_written_in_sections() -> None:
    plan = note_sections(request({"length": "100"}))
    assert plan is not None
    assert plan.separator == "\n"
    assert "bulleted list" in plan.instruction(5, None)
    assert plan.instruction(5, "de").endswith("Write in German.")


@pytest.mark.parametrize(
    "asked", [request({"style": "minutes"}), request(questions=("Who?",)), request(custom_instruction="Who calls?")]
)
def test_notes_for_other_summaries_are_written_in_one_piece(asked: SummaryRequest) -> None:
    assert note_sections(asked) is None
