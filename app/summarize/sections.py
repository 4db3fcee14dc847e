"""Says which answers and which notes may be written in sections, and words the instruction for one section.

A model that summarizes transcripts in sections (`section_tokens` of its manifest) summarizes each part of a transcript
by itself. That suits a paragraph or a list of all that was said. It does not suit what needs the whole recording: a
headline, minutes with headings, JSON, an answer to a question, or a focus of which most parts say nothing.
"""

from dataclasses import replace

from app.core.prompts import SummaryStyle
from app.core.text.sections import MAX_SECTIONS, SECTION_SEPARATORS
from app.engine.base import SectionedAnswer
from app.summarize.request import SummaryRequest

_MIN_WORDS_PER_SECTION = 25  # of a summary whose length the caller names: shorter answers would be cut sentences
_MIN_TOKENS_PER_SECTION = 96


def summary_sections(request: SummaryRequest) -> SectionedAnswer | None:
    """Return how the summary may be written in sections, or None if it must be written in one piece."""
    style = request.style
    if (
        style.style not in SECTION_SEPARATORS
        or request.output_format.schema is not None
        or not _covers_everything(request)
    ):
        return None
    most = MAX_SECTIONS
    if style.words is not None:
        most = min(most, style.words // _MIN_WORDS_PER_SECTION)
    if request.max_tokens is not None:
        most = min(most, request.max_tokens // _MIN_TOKENS_PER_SECTION)
    if most < 2:
        return None

    def word_instruction(count: int, language: str | None) -> str:
        changes = {} if style.words is None else {"length": str(max(5, style.words // count))}
        changes |= {} if language is None else {"language": language}
        return replace(request, style=style.model_copy(update=changes)).prompt

    return SectionedAnswer(word_instruction, SECTION_SEPARATORS[style.style], most, request.max_tokens)


def note_sections(request: SummaryRequest) -> SectionedAnswer | None:
    """Return how the notes on a window of a long recording may be written in sections, or None if not.

    Such notes hold more, and are longer. A small model makes a better headline or JSON of short notes. Notes for
    questions are asked for with the questions, which most sections do not answer.
    """
    if summary_sections(request) is None or request.questions:
        return None

    def word_instruction(_: int, language: str | None) -> str:
        return (request if language is None else request.with_language(language)).note_instruction

    return SectionedAnswer(word_instruction, SECTION_SEPARATORS[SummaryStyle.BULLETS], MAX_SECTIONS)


def _covers_everything(request: SummaryRequest) -> bool:
    """Return whether the request is for all that was said, in the service's own words."""
    style = request.style
    asks_for_more = (
        request.custom_instruction, style.focus, style.instructions, request.template, request.turns, request.stop
    )  # fmt: skip
    return not any(asks_for_more)
