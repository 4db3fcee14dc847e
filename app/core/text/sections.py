"""Divides a transcript into sections of similar length, which a small model summarizes one by one.

A section ends with a sentence where that is possible, and rather not with a question, whose answer follows. Knows
nothing about tokenizers or models.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from app.core.asr.transcript import TranscriptSegment

# A sentence ends with its mark, and with the quotation marks and brackets behind it. The wide marks of Chinese and
# Japanese (full stop, exclamation mark, question mark; closing quotation marks) need no white space behind them.
_SENTENCE = re.compile(r".+?(?:[.!?…]+[\"'”»)]*(?=\s|$)|[\u3002\uff01\uff1f]+[\u300d\u300f]?|$)\s*", re.DOTALL)
_QUESTION_END = re.compile(r"[?\uff1f][\"'”»\u300d\u300f)]*$")
_SENTENCE_END = re.compile(r"[.!…\u3002\uff01][\"'”»\u300d\u300f)]*$")
# What a section that ends in another place costs, as a share of a section's length.
_COST_AFTER_QUESTION, _COST_WITHIN_SENTENCE = 0.35, 0.5


@dataclass(frozen=True)
class Section:
    """A part of a transcript. start and end: in seconds, as its segments have them."""

    text: str
    start: float
    end: float


def split_into_sections(
    segments: Sequence[TranscriptSegment], section_tokens: int, max_sections: int, count_tokens: Callable[[str], int]
) -> list[Section]:
    """Return consecutive segments as sections, none of them without text.

    A section that begins or ends within a segment has the segment's start or end.

    Args:
        segments: A transcript's segments, in order.
        section_tokens: About how many tokens a section has. The text gets as many sections as bring each nearest to it.
        max_sections: The most sections. A longer text gets longer sections.
        count_tokens: Returns the number of tokens of a text.
    """
    units = [
        Section(unit.strip(), segment.start, segment.end)
        for segment in segments
        for unit in _SENTENCE.findall(segment.text)
        if unit.strip()
    ]
    if not units:
        return []
    ends = list(accumulate(count_tokens(unit.text) for unit in units))
    count = max(1, min(round(ends[-1] / section_tokens), max_sections, len(units)))
    length = ends[-1] / count
    sections: list[Section] = []
    start = 0
    for number in range(1, count):
        target = number * length
        last = min(
            range(start, len(units) - (count - number)),
            key=lambda index: abs(ends[index] - target) / length + _cost_of_end(units[index].text),
        )
        sections.append(_join_units(units[start : last + 1]))
        start = last + 1
    return [*sections, _join_units(units[start:])]


def _join_units(units: Sequence[Section]) -> Section:
    return Section(" ".join(unit.text for unit in units), units[0].start, units[-1].end)


def _cost_of_end(unit: str) -> float:
    if _SENTENCE_END.search(unit):
        return 0.0
    return _COST_AFTER_QUESTION if _QUESTION_END.search(unit) else _COST_WITHIN_SENTENCE
