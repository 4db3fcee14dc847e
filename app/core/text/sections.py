"""Divides a transcript into sections of similar length, which a small model summarizes one by one.

A section ends with a sentence where that is possible, and rather not with a question, whose answer follows. Knows
nothing about tokenizers or models.
"""

import re
from collections.abc import Callable, Sequence
from itertools import accumulate

# A sentence ends with its mark, and with the quotation marks and brackets behind it. The wide marks of Chinese and
# Japanese (full stop, exclamation mark, question mark; closing quotation marks) need no white space behind them.
_SENTENCE = re.compile(r".+?(?:[.!?…]+[\"'”»)]*(?=\s|$)|[\u3002\uff01\uff1f]+[\u300d\u300f]?|$)\s*", re.DOTALL)
_QUESTION_END = re.compile(r"[?\uff1f][\"'”»\u300d\u300f)]*$")
_SENTENCE_END = re.compile(r"[.!…\u3002\uff01][\"'”»\u300d\u300f)]*$")
# What a section that ends in another place costs, as a share of a section's length.
_COST_AFTER_QUESTION, _COST_WITHIN_SENTENCE = 0.35, 0.5


def split_into_sections(
    segments: Sequence[str], section_tokens: int, max_sections: int, count_tokens: Callable[[str], int]
) -> list[str]:
    """Return the text of consecutive segments as sections, none of them empty.

    Args:
        segments: The texts of a transcript's segments, in order.
        section_tokens: About how many tokens a section has. The text gets as many sections as bring each nearest to it.
        max_sections: The most sections. A longer text gets longer sections.
        count_tokens: Returns the number of tokens of a text.
    """
    units = [unit.strip() for segment in segments for unit in _SENTENCE.findall(segment) if unit.strip()]
    if not units:
        return []
    ends = list(accumulate(count_tokens(unit) for unit in units))
    count = max(1, min(round(ends[-1] / section_tokens), max_sections, len(units)))
    length = ends[-1] / count
    sections: list[str] = []
    start = 0
    for number in range(1, count):
        target = number * length
        last = min(
            range(start, len(units) - (count - number)),
            key=lambda index: abs(ends[index] - target) / length + _cost_of_end(units[index]),
        )
        sections.append(" ".join(units[start : last + 1]))
        start = last + 1
    return [*sections, " ".join(units[start:])]


def _cost_of_end(unit: str) -> float:
    if _SENTENCE_END.search(unit):
        return 0.0
    return _COST_AFTER_QUESTION if _QUESTION_END.search(unit) else _COST_WITHIN_SENTENCE
