"""Chooses among several summaries of one recording the one that the others agree with most.

This is Minimum Bayes Risk decoding (Kumar and Byrne, "Minimum Bayes-Risk Decoding for Statistical Machine Translation",
NAACL 2004; Eikema and Aziz, "Sampling-Based Approximations to Minimum Bayes Risk Decoding for Neural Machine
Translation", EMNLP 2022): what a model says in most of its samples is more often true than what it says in one. The
score of a candidate is its mean agreement with the others, minus a penalty for each name and figure that was not heard.

The agreement of two texts is the F1 of their content words, compared as sets: twice the weight of the words that they
share, divided by the weight of the words of both. Names and figures weigh more than other words, because a summary that
differs in them says something else. Knows nothing about models.
"""

from collections.abc import Sequence

from app.core.text.json_texts import json_texts
from app.core.text.names import find_name_words
from app.core.text.normalize import normalize
from app.core.text.word_lists import FUNCTION_WORDS
from app.summarize.citations import compared_words

NAME_OR_FIGURE_WEIGHT = 3.0  # of other words it is 1
# Agreements of samples differ by about this much, so that one invention outweighs a usual difference in wording.
UNSUPPORTED_PENALTY = 0.1
MAX_PENALTY = 0.5

WordWeights = dict[str, float]


def choose_candidate(texts: Sequence[str], unsupported_counts: Sequence[int], *, is_json: bool = False) -> int:
    """Return the index of the candidate with the highest score, and of equal ones the first.

    Args:
        texts: The candidates, at least one.
        unsupported_counts: For each candidate the number of names and figures that were not heard.
        is_json: Whether the candidates are JSON, of which only the values are compared.
    """
    weights = [word_weights(text, is_json=is_json) for text in texts]
    scores = []
    for index, one in enumerate(weights):
        others = [agreement(one, other) for number, other in enumerate(weights) if number != index]
        mean = sum(others) / len(others) if others else 0.0
        scores.append(mean - min(MAX_PENALTY, UNSUPPORTED_PENALTY * unsupported_counts[index]))
    return scores.index(max(scores))


def agreement(one: WordWeights, other: WordWeights) -> float:
    """Return the agreement of two texts, from 0 to 1, by the weights of their words."""
    total = sum(one.values()) + sum(other.values())
    if not total:
        return 1.0
    # A word may be a name in one of the texts only, where it opens no sentence.
    shared = sum(one[word] + other[word] for word in one.keys() & other.keys())
    return shared / total


def word_weights(text: str, *, is_json: bool = False) -> WordWeights:
    """Return the weight of each content word of a text. Figures are compared by value, words without a plural "s"."""
    if is_json:
        text = "\n".join(one.text for one in json_texts(text))
    names = {
        word for name in find_name_words(text) if not name.is_opening for word in map(_singular, normalize(name.text))
    }
    weights: WordWeights = {}
    for token in normalize(text):
        if token in FUNCTION_WORDS:
            continue
        for word in map(_singular, compared_words(token)):
            weights[word] = NAME_OR_FIGURE_WEIGHT if word[0].isdigit() or word in names else 1.0
    return weights


def _singular(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 else word
