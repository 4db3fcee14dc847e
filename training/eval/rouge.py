"""ROUGE: how many words, pairs of words and common subsequences a summary shares with the reference, or several answers
share with each other.

The scores are F-measures of Google's `rouge-score`. Words are stemmed if the record is in English, and compared as they
are in other languages. Knows nothing about meaning: two good summaries can share few words.
"""

import re
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import Any

from training.data.record import Record

ROUGE_NAMES = ("rouge1", "rouge2", "rougeL")


def rouge(record: Record, summary: str) -> dict[str, float]:
    """Return `rouge1`, `rouge2` and `rougeL` (0 to 1) of the summary; nothing if the record has no summary itself."""
    if not record.summary.strip():
        return {}
    scores = _scorer(_is_english(record.language)).score(record.summary, summary)
    return {name: round(scores[name].fmeasure, 4) for name in ROUGE_NAMES}


def rouge_agreement(answers: Sequence[str], language: str = "en") -> list[float]:
    """Return for each answer its mean ROUGE-1 with the other answers, 0 to 1; 0 if there are no others."""
    scorer = _scorer(_is_english(language))
    mutual = {
        (a, b): scorer.score(answers[a], answers[b])["rouge1"].fmeasure for a, b in combinations(range(len(answers)), 2)
    }
    means = [0.0] * len(answers)
    for pair, value in mutual.items():
        for place in pair:
            means[place] += value / (len(answers) - 1)
    return means


class WordTokenizer:
    """Splits text of any language into words. The default tokenizer of `rouge-score` knows only the letters a to z."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words of the text in lower case."""
        return re.findall(r"\w+", text.lower())


def _is_english(language: str) -> bool:
    return language.lower().split("-")[0] == "en"


@cache
def _scorer(english: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return (
        RougeScorer(ROUGE_NAMES, use_stemmer=True) if english else RougeScorer(ROUGE_NAMES, tokenizer=WordTokenizer())
    )
