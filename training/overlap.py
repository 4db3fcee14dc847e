"""ROUGE: how many words, pairs of words and longest common runs a summary shares with the data's own.

F-measures by Google's `rouge-score`, stemmed as usual where the record is in English; in other languages the words are
taken as they are. Knows nothing about meaning: two good summaries can share little.
"""

import re
from functools import cache
from typing import Any

from training.corpus.record import Record

NAMES = ("rouge1", "rouge2", "rougeL")


def rouge(record: Record, summary: str) -> dict[str, float]:
    """`rouge1`, `rouge2`, `rougeL`, 0 to 1; none for a record without a summary of its own."""
    if not record.summary.strip():
        return {}
    found = _scorer(record.language.lower().split("-")[0] == "en").score(record.summary, summary)
    return {name: round(found[name].fmeasure, 4) for name in NAMES}


class Words:
    """`rouge-score`'s own tokenizer knows no letters but a to z."""

    def tokenize(self, text: str) -> list[str]:
        """The text's words, in small letters."""
        return re.findall(r"\w+", text.lower())


@cache
def _scorer(english: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(NAMES, use_stemmer=True) if english else RougeScorer(NAMES, tokenizer=Words())
