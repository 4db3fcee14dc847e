"""Answers of a text model in sections, as the service writes those of a cascade: the model summarizes each part of a
transcript by itself, and the answers stand one behind the other.

A request that names a length is answered in one piece here; the service divides the words over the sections. Knows
nothing about models.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from app.core.asr.transcript import TranscriptSegment
from app.core.text.sections import MAX_SECTIONS, SECTION_SEPARATORS, split_into_sections
from training.data.record import Record

_WHOLE_RECORDING_FIELDS = {"focus", "instructions", "length"}


def answer_in_sections(
    answer: Callable[[Sequence[Record]], list[str]],
    records: Sequence[Record],
    section_tokens: int,
    count_tokens: Callable[[str], int],
) -> list[str]:
    """Return the answers to the records, of which those that ask for a whole paragraph or list are written in sections.

    Args:
        answer: returns the answers to records, in their order.
        section_tokens: about how many tokens a section has.
        count_tokens: returns the number of tokens of a text.
    """
    parts = [_divide(record, section_tokens, count_tokens) for record in records]
    answers = iter(answer([part for of_record in parts for part in of_record]))
    return [
        SECTION_SEPARATORS.get((record.style or {}).get("style", ""), " ").join(next(answers) for _ in of_record)
        for record, of_record in zip(records, parts, strict=True)
    ]


def _divide(record: Record, section_tokens: int, count_tokens: Callable[[str], int]) -> list[Record]:
    style = record.style or {}
    if style.get("style") not in SECTION_SEPARATORS or style.keys() & _WHOLE_RECORDING_FIELDS:
        return [record]
    segments = [TranscriptSegment(0, 1, record.transcript, 0, 1, 0)]
    sections = split_into_sections(segments, section_tokens, MAX_SECTIONS, count_tokens)
    return [replace(record, transcript=section.text) for section in sections] or [record]
