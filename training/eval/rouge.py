"""ROUGE: how many words, pairs of words and longest common runs a summary shares with the data's own, or answers with
each other.

F-measures by Google's `rouge-score`, stemmed as usual where the record is in English; in other languages the words are
taken as they are. Knows nothing about meaning: two good summaries can share little.
"""

import re
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import Any

from training.data.record import Record

ROUGE_NAMES = ("rouge1", "rouge2", "rougeL")


def rouge(record: Record, summary: str) -> dict[str, float]:
    """`rouge1`, `rouge2`, `rougeL`, 0 to 1; none for a record without a summary of its own."""
    if not record.summary.strip():
        return {}
    found = _scorer(_is_english(record.language)).score(record.summary, summary)
    return {name: round(found[name].fmeasure, 4) for name in ROUGE_NAMES}


def rouge_agreement(answers: Sequence[str], language: str = "en") -> list[float]:
    """Of each answer the mean ROUGE-1 with the others, 0 to 1; 0 where there are none."""
    scorer = _scorer(_is_english(language))
    mutual = {
        (a, b): scorer.score(answers[a], answers[b])["rouge1"].fmeasure for a, b in combinations(range(len(answers)), 2)
    }
    found = [0.0] * len(answers)
    for pair, value in mutual.items():
        for place in pair:
            found[place] += value / (len(answers) - 1)
    return found


class WordTokenizer:
    """`rouge-score`'s own tokenizer knows no letters but a to z."""

    def tokenize(self, text: str) -> list[str]:
        """The text's words, in small letters."""
        return re.findall(r"\w+", text.lower())


def _is_english(language: str) -> bool:
    return language.lower().split("-")[0] == "en"


@cache
def _scorer(english: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return (
        RougeScorer(ROUGE_NAMES, use_stemmer=True) if english else RougeScorer(ROUGE_NAMES, tokenizer=WordTokenizer())
    )
