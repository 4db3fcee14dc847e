"""Rules that make a pair of a better and a worse answer to one record: by counted facts, or by a judge in both orders.

Whoever compares, the same rules hold: the two answers differ by a margin, the better one ended its turn, and neither is
so much longer than the other that DPO would learn length. With counted facts the agreement of the record's other
answers may count too: an answer that is right while no other agrees is right by luck. Knows nothing about where the
answers come from.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from math import log

from training.data.record import Record
from training.facts.coverage import count_facts, repetition_rate
from training.llm.judge import FLIP, NO_VERDICT, Judge

COUNTED_FACTS = "counted facts"
ALIKE, NO_END, LENGTH, NO_FACTS, BALANCE = "alike", "no end", "length", "no facts", "balance of lengths"
BETTER_BY_LUCK = "better by luck"


@dataclass(frozen=True)
class ScoredAnswer:
    """An answer's text, whether it ended its turn, its `goodness` by counted facts, and its agreement with the record's
    other answers: mean ROUGE-1 from 0 to 1, or 0 if it was not computed.
    """

    text: str
    is_complete: bool
    goodness: float
    agreement: float = 0.0

    @property
    def words(self) -> int:
        """The number of words of the text."""
        return len(self.text.split())


Pair = tuple[ScoredAnswer, ScoredAnswer]


def goodness(record: Record, text: str, invention_weight: float = 1.0) -> float:
    """Return the covered share of the record's facts, minus the inventions per fact, minus the repetition: at most 1.

    invention_weight: how many covered facts an invention costs.
    """
    found = count_facts(record.facts, text, record.transcript)
    facts = max(1, found.total)
    return (found.covered - invention_weight * len(found.hallucinated)) / facts - repetition_rate(text)


def best_pair(
    answers: Sequence[ScoredAnswer], margin: float, length_ratio: float, agreement_margin: float | None = None
) -> Pair | str:
    """Return (chosen, rejected), the two whose goodness differs most, or the reason why there is no pair.

    Args:
        margin: least difference in goodness.
        length_ratio: largest ratio of the longer answer's words to the shorter one's.
        agreement_margin: how much more the other answers have to agree with the chosen one; None ignores agreement.
    """
    pairs = [(a, b) for a, b in permutations(answers, 2) if a.goodness - b.goodness >= margin and a.text and b.text]
    if not pairs:
        return ALIKE
    if agreement_margin is not None:
        pairs = [(a, b) for a, b in pairs if a.agreement - b.agreement >= agreement_margin]
        if not pairs:
            return BETTER_BY_LUCK
    pairs = [(a, b) for a, b in pairs if a.is_complete]
    if not pairs:
        return NO_END
    pairs = [(a, b) for a, b in pairs if similar_in_length(a, b, length_ratio)]
    if not pairs:
        return LENGTH
    return max(pairs, key=lambda pair: pair[0].goodness - pair[1].goodness)


def similar_in_length(a: ScoredAnswer, b: ScoredAnswer, ratio: float) -> bool:
    """Return whether neither answer has more than `ratio` times the other's words."""
    return max(a.words, b.words) <= ratio * min(a.words, b.words)


def balance_pair_lengths(ratios: Sequence[float]) -> list[int]:
    """Return the indices of the pairs to keep, in order, so that chosen and rejected answers are as long on average. If
    chosen answers are longer, the pairs in which they are longest by ratio are left out, and the other way round.

    ratios: chosen length divided by rejected length, of each pair, > 0. The geometric mean of those that are kept is 1,
    up to the last pair.
    """
    log_ratios = [log(ratio) for ratio in ratios]
    total = sum(log_ratios)
    side = 1 if total > 0 else -1
    places = sorted(range(len(log_ratios)), key=lambda place: side * log_ratios[place])
    while len(places) > 1 and log_ratios[places[-1]] and side * (total - log_ratios[places[-1]]) >= 0:
        total -= log_ratios[places.pop()]
    return sorted(places)


def comparable_pairs(answers: Sequence[ScoredAnswer], length_ratio: float) -> list[Pair] | str:
    """Return all pairs of different answers that a judge may compare, or the reason why there are none."""
    pairs = [(a, b) for a, b in combinations({a.text: a for a in answers if a.text}.values(), 2)]
    if not pairs:
        return ALIKE
    pairs = [(a, b) for a, b in pairs if a.is_complete or b.is_complete]
    if not pairs:
        return NO_END
    return [(a, b) for a, b in pairs if similar_in_length(a, b, length_ratio)] or LENGTH


def preferred_pair(pairs: Sequence[Pair], ahead: Sequence[float | str], margin: float) -> Pair | str:
    """Return (chosen, rejected), the pair with the largest difference by the judge, or the reason why there is none. Of
    several reasons it is that of the pair that came nearest to being one.

    ahead: for each pair, what `Judge.compare_pairs` said: by how many grades the first answer is better, or a reason.
    """
    found: list[tuple[float, Pair]] = []
    reasons: set[str] = set()
    for (a, b), by in zip(pairs, ahead, strict=True):
        if isinstance(by, str):
            reasons.add(by)
            continue
        better, worse = (a, b) if by > 0 else (b, a)
        if abs(by) < margin:
            reasons.add(ALIKE)
        elif not better.is_complete:
            reasons.add(NO_END)
        else:
            found.append((abs(by), (better, worse)))
    if not found:
        return next(reason for reason in (NO_END, ALIKE, FLIP, NO_VERDICT) if reason in reasons)
    return max(found, key=lambda one: one[0])[1]


@dataclass
class PairSelector:
    """Makes the pairs and counts what became of the records.

    Attributes:
        margin: least difference in goodness.
        length_ratio: largest ratio of the two answers' words.
        judge: compares answers to records without facts. None gives no pair for them.
        judge_margin: least difference in the judge's grades, which go from 1 to 7.
        always_judge: whether the judge also compares answers to records with facts.
        invention_weight: see `goodness`.
        balance_lengths: whether the caller leaves out the pairs that `balance_pair_lengths` does not keep.
        agreement_margin: see `best_pair`.
        judged_by: number of records by who compared their answers.
        comparisons: number of the judge's comparisons by their outcome.
    """

    margin: float
    length_ratio: float
    judge: Judge | None = None
    judge_margin: float = 1.0
    always_judge: bool = False
    invention_weight: float = 1.0
    balance_lengths: bool = False
    agreement_margin: float | None = None
    judged_by: Counter[str] = field(default_factory=Counter)
    comparisons: Counter[str] = field(default_factory=Counter)

    def pairs(self, records: Sequence[Record], answers: Sequence[Sequence[ScoredAnswer]]) -> list[Pair | str]:
        """Return (chosen, rejected) for each record, or the reason why it has no pair. `answers` are those to each
        record.
        """
        out: list[Pair | str] = []
        judged: list[tuple[int, list[Pair]]] = []
        for record, tries in zip(records, answers, strict=True):
            if record.facts and not self.always_judge:
                self.judged_by[COUNTED_FACTS] += 1
                out.append(best_pair(tries, self.margin, self.length_ratio, self.agreement_margin))
            elif self.judge is None:
                out.append(NO_FACTS)
            else:
                self.judged_by[self.judge.model] += 1
                pairs = comparable_pairs(tries, self.length_ratio)
                out.append(pairs if isinstance(pairs, str) else "")
                if not isinstance(pairs, str):
                    judged.append((len(out) - 1, pairs))
        if self.judge and judged:
            verdicts = iter(
                self.judge.compare_pairs([(records[i], a.text, b.text) for i, pairs in judged for a, b in pairs])
            )
            for place, pairs in judged:
                ahead = [next(verdicts) for _ in pairs]
                self.comparisons.update(by if isinstance(by, str) else "in both orders" for by in ahead)
                out[place] = preferred_pair(pairs, ahead, self.judge_margin)
        return out
