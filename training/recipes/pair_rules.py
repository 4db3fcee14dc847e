"""Of several answers to one record, the better beside the worse: by the counted facts, or by a judge in both orders.

Every choice keeps the rules that make a pair worth learning from: the two differ by a margin, the better one ended its
turn, and neither is so much longer than the other that length would be what is learned. With counted facts the other
answers may be asked too: one that is right and alone is right by luck. Knows nothing about where the answers come from.
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
    """An answer in words, how good it is by the counted facts, and how far the record's other answers agree with it, as
    mean ROUGE-1 (0 where nobody asked).
    """

    text: str
    is_complete: bool
    goodness: float
    agreement: float = 0.0

    @property
    def words(self) -> int:
        """Its length."""
        return len(self.text.split())


Pair = tuple[ScoredAnswer, ScoredAnswer]


def goodness(record: Record, text: str, invention_weight: float = 1.0) -> float:
    """Covered share of the facts, less inventions a fact, less repetition; at most 1.

    invention_weight: how many covered facts an invention costs.
    """
    found = count_facts(record.facts, text, record.transcript)
    facts = max(1, found.total)
    return (found.covered - invention_weight * len(found.hallucinated)) / facts - repetition_rate(text)


def best_pair(
    answers: Sequence[ScoredAnswer], margin: float, length_ratio: float, agreement_margin: float | None = None
) -> Pair | str:
    """(chosen, rejected) by goodness, the two that lie furthest apart; or in a word why there is none.

    agreement_margin: how much more the others must agree with the chosen one; None does not ask.
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
    """Neither has more than `ratio` times the other's words."""
    return max(a.words, b.words) <= ratio * min(a.words, b.words)


def balance_pair_lengths(ratios: Sequence[float]) -> list[int]:
    """Which pairs to keep, in order, so that chosen is on the whole as long as rejected: of the side that outweighs the
    other those are left out whose lengths differ most.

    ratios: chosen's length by rejected's, > 0. What is kept has a geometric mean of 1, but for less than one pair.
    """
    away = [log(ratio) for ratio in ratios]
    total = sum(away)
    side = 1 if total > 0 else -1
    kept = sorted(range(len(away)), key=lambda place: side * away[place])
    while len(kept) > 1 and away[kept[-1]] and side * (total - away[kept[-1]]) >= 0:
        total -= away[kept.pop()]
    return sorted(kept)


def comparable_pairs(answers: Sequence[ScoredAnswer], length_ratio: float) -> list[Pair] | str:
    """Two at a time, those of which a judge could make a pair; or in a word why there are none."""
    pairs = [(a, b) for a, b in combinations({a.text: a for a in answers if a.text}.values(), 2)]
    if not pairs:
        return ALIKE
    pairs = [(a, b) for a, b in pairs if a.is_complete or b.is_complete]
    if not pairs:
        return NO_END
    return [(a, b) for a, b in pairs if similar_in_length(a, b, length_ratio)] or LENGTH


def preferred_pair(pairs: Sequence[Pair], ahead: Sequence[float | str], margin: float) -> Pair | str:
    """(chosen, rejected), the pair in which the judge saw most difference; or in a word what kept the one that came
    nearest from being one.

    ahead: of each pair, what `Judge.prefer` said of it.
    """
    found: list[tuple[float, Pair]] = []
    why: set[str] = set()
    for (a, b), by in zip(pairs, ahead, strict=True):
        if isinstance(by, str):
            why.add(by)
            continue
        better, worse = (a, b) if by > 0 else (b, a)
        if abs(by) < margin:
            why.add(ALIKE)
        elif not better.is_complete:
            why.add(NO_END)
        else:
            found.append((abs(by), (better, worse)))
    if not found:
        return next(reason for reason in (NO_END, ALIKE, FLIP, NO_VERDICT) if reason in why)
    return max(found, key=lambda one: one[0])[1]


@dataclass
class PairSelector:
    """Makes the pairs, and keeps count.

    margin: least difference in goodness. invention_weight: of `goodness`. judge_margin: least difference in the judge's
    grades, of 1 to 7. judge: None leaves out what has no facts. always: the judge compares even where there are facts.
    balance: of all pairs those are left out that `balance_pair_lengths` does not keep. agreement_margin: of
    `best_pair`.
    by: records compared, by whom. comparisons: what became of the judge's.
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
        """For each record (chosen, rejected), or in a word why there is none."""
        out: list[Pair | str] = []
        asked: list[tuple[int, list[Pair]]] = []
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
                    asked.append((len(out) - 1, pairs))
        if self.judge and asked:
            said = iter(
                self.judge.compare_pairs([(records[i], a.text, b.text) for i, pairs in asked for a, b in pairs])
            )
            for place, pairs in asked:
                ahead = [next(said) for _ in pairs]
                self.comparisons.update(by if isinstance(by, str) else "in both orders" for by in ahead)
                out[place] = preferred_pair(pairs, ahead, self.judge_margin)
        return out
