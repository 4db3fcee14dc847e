"""Divides a transcript, or notes on a long recording, into sections of similar length. A small model summarizes them
one by one.

A section of a transcript ends with a sentence where that is possible, and rather not with a question, whose answer
follows. One of notes ends with a line. Knows nothing about tokenizers or models.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from operator import itemgetter

from app.core.asr.transcript import TranscriptSegment
from app.core.prompts import SummaryStyle, notes_text, split_notes_text

MAX_SECTIONS = 8  # of one answer
# What stands between two sections of a summary, by its style. Summaries of other styles need the whole recording.
SECTION_SEPARATORS: dict[str, str] = {SummaryStyle.PARAGRAPH: " ", SummaryStyle.BULLETS: "\n"}

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
    lengths = [count_tokens(unit.text) for unit in units]
    ends = _choose_ends(lengths, [_cost_of_end(unit.text) for unit in units], section_tokens, max_sections)
    return [_join_units(units[start:end]) for start, end in pairwise(ends)]


def split_notes_into_sections(
    notes: str, section_tokens: int, max_sections: int, count_tokens: Callable[[str], int]
) -> list[Section]:
    """Return consecutive lines of notes as sections, each with the time of every window that it has lines of.

    A section starts and ends, in seconds, where the windows of its first and its last line begin.

    Args:
        notes: The text of `app.core.prompts.notes_text`.
        section_tokens: About how many tokens of notes a section has.
        max_sections: The most sections. Longer notes get longer sections.
        count_tokens: Returns the number of tokens of a text.
    """
    lines = [(start, line) for start, text in split_notes_text(notes) for line in text.splitlines() if line.strip()]
    ends = _choose_ends([count_tokens(line) for _, line in lines], [0.0] * len(lines), section_tokens, max_sections)
    return [_join_lines(lines[start:end]) for start, end in pairwise(ends)]


def _choose_ends(lengths: Sequence[int], costs: Sequence[float], section_tokens: int, max_sections: int) -> list[int]:
    """Return where the sections begin and end among the units: [0, 3, 5] are the first three units and the next two.

    lengths: the tokens of each unit. costs: what a section costs that ends with the unit, as a share of its length.
    """
    if not lengths:
        return []
    sums = list(accumulate(lengths))
    count = max(1, min(round(sums[-1] / section_tokens), max_sections, len(lengths)))
    length = sums[-1] / count
    ends = [0]
    for number in range(1, count):
        target = number * length
        last = min(
            range(ends[-1], len(lengths) - (count - number)),
            key=lambda index: abs(sums[index] - target) / length + costs[index],
        )
        ends.append(last + 1)
    return [*ends, len(lengths)]


def _join_units(units: Sequence[Section]) -> Section:
    return Section(" ".join(unit.text for unit in units), units[0].start, units[-1].end)


def _join_lines(lines: Sequence[tuple[float, str]]) -> Section:
    windows = [(start, "\n".join(line for _, line in of_window)) for start, of_window in groupby(lines, itemgetter(0))]
    return Section(notes_text(windows), windows[0][0], windows[-1][0])


def _cost_of_end(unit: str) -> float:
    if _SENTENCE_END.search(unit):
        return 0.0
    return _COST_AFTER_QUESTION if _QUESTION_END.search(unit) else _COST_WITHIN_SENTENCE
