"""The scores of one summary, and their means over many summaries with confidence intervals.

Intervals are bootstrap percentiles over recordings, 95 %. Rows of the same recording are drawn together, because a hard
recording is hard for all of them. A score exists only if some row has what it needs: coverage needs facts, inventions
need a transcript, ROUGE needs a reference summary. Knows nothing about who wrote the summaries.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from training.data.record import Record
from training.data.splits import recording_names
from training.eval import rouge
from training.facts.coverage import count_facts, repetition_rate

BOOTSTRAP_SAMPLES = 2000
SHARES = {"core_coverage": ("core_covered", "core_total"), "coverage": ("covered", "total")}
MEANS = ("hallucinations_per_summary", "facts_less_inventions", "repetition", "words", *rouge.ROUGE_NAMES)


def score_summary(record: Record, summary: str) -> dict[str, Any]:
    """Return the counts of `training.facts.coverage.FactCounts` for the summary, its `words` and its `repetition` (0 to
    1). `hallucinated` is left out if the record has no transcript.
    """
    counts = asdict(count_facts(record.facts, summary, record.transcript))
    if not record.transcript:
        del counts["hallucinated"]
    return counts | {"words": len(summary.split()), "repetition": round(repetition_rate(summary), 4)}


def score_rows(records: Sequence[Record], summaries: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each record: its `id`, its `recording` (the id of the first record about the same recording),
    the `summary`, the scores of `score_summary`, and ROUGE.

    Records of two sets may have the same id and be of different recordings. The `recording` of the second one is then
    its id with a number.
    """
    return [
        {"id": r.id, "recording": recording, "summary": s} | score_summary(r, s) | rouge.rouge(r, s)
        for r, s, recording in zip(records, summaries, _recording_ids(records), strict=True)
    ]


def _recording_ids(records: Sequence[Record]) -> list[str]:
    """Return an id for each record that only the records of its recording share."""
    ids: dict[str, str] = {}
    uses: Counter[str] = Counter()
    found = []
    for record in records:
        name = next(recording_names(record), record.id)
        if name not in ids:
            uses[record.id] += 1
            number = uses[record.id]
            ids[name] = record.id if number == 1 else f"{record.id} ({number})"
        found.append(ids[name])
    return found


def aggregate(rows: Sequence[dict[str, Any]], seed: int = 0) -> dict[str, Any]:
    """Return shares and means over all rows, their intervals (`…_95`), and the number of recordings and summaries.
    seed: of the bootstrap.
    """
    out: dict[str, Any] = {"recordings": len(set(_recordings(rows))), "summaries": len(rows)}
    for name, (covered, total) in SHARES.items():
        if any(row[total] for row in rows):
            out |= bootstrap_interval(name, rows, [row[covered] for row in rows], [row[total] for row in rows], seed)
    return out | mean_figures([with_invention_counts(row) for row in rows], MEANS, seed)


def with_invention_counts(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with `hallucinations_per_summary`, the number of its inventions, if these are known; and with
    `facts_less_inventions` if the facts are known too. The latter is the score by which `pairs` prefers an answer.
    """
    if "hallucinated" not in row:
        return row
    invented = len(row["hallucinated"])
    ahead = {"facts_less_inventions": row["covered"] - invented} if row["total"] else {}
    return row | {"hallucinations_per_summary": invented} | ahead


def mean_figures(rows: Sequence[dict[str, Any]], names: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Return the means of these fields over the rows that have them, and their intervals. A field of no row is left
    out.
    """
    out: dict[str, Any] = {}
    for name in names:
        if having := [row for row in rows if name in row]:
            out |= bootstrap_interval(name, having, [row[name] for row in having], [1] * len(having), seed)
    return out


def bootstrap_interval(
    name: str, rows: Sequence[dict[str, Any]], counted: Sequence[float], of: Sequence[float], seed: int
) -> dict[str, Any]:
    """Return the sum of `counted` divided by the sum of `of` as `name`, and its 95 % interval as `name_95`.

    counted, of: a number for each row. The interval is the middle 95 % over `BOOTSTRAP_SAMPLES` samples of the
    recordings, drawn with this seed.
    """
    places = {recording: place for place, recording in enumerate(dict.fromkeys(_recordings(rows)))}
    sums = np.zeros((len(places), 2))
    np.add.at(sums, [places[r] for r in _recordings(rows)], np.array([counted, of], np.float64).T)
    draws = np.random.default_rng(seed).integers(0, len(sums), (BOOTSTRAP_SAMPLES, len(sums)))
    drawn = np.stack([np.bincount(draw, minlength=len(sums)) for draw in draws]) @ sums
    low, high = np.percentile(drawn[:, 0] / np.maximum(drawn[:, 1], 1), [2.5, 97.5])
    value = sums[:, 0].sum() / max(1, sums[:, 1].sum())
    return {name: round(float(value), 4), f"{name}_95": [round(float(low), 4), round(float(high), 4)]}


def _recordings(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the recording of each row; a row without one counts as a recording of its own."""
    return [str(row.get("recording", f"row {number}")) for number, row in enumerate(rows)]
