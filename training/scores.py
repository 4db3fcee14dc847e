"""Counts of one summary, and figures over many, each with the interval that chance alone would give it.

Intervals are bootstrap percentiles over recordings, 95 %. Knows nothing about who wrote the summaries.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.corpus.record import Record
from training.facts import count, repetition_rate

DRAWS = 2000


def score(record: Record, summary: str) -> dict[str, Any]:
    """The counts of one summary."""
    counts = asdict(count(record.facts, summary, record.transcript))
    return counts | {"words": len(summary.split()), "repetition": round(repetition_rate(summary), 4)}


def scored(records: Sequence[Record], summaries: Sequence[str]) -> list[dict[str, Any]]:
    """A row a record: its id, the summary, and its counts."""
    return [{"id": r.id, "summary": s, **score(r, s)} for r, s in zip(records, summaries, strict=True)]


def aggregate(rows: Sequence[dict[str, Any]], seed: int = 0) -> dict[str, Any]:
    """Shares over all recordings and their intervals (`…_95`)."""
    keys = ("core_covered", "core_total", "covered", "total")
    table = np.array([[*(r[k] for k in keys), len(r["hallucinated"]), r["repetition"]] for r in rows], np.float64)

    def figures(sample: NDArray[np.float64]) -> tuple[float, ...]:
        core, core_all, facts, all_, invented, repeated = sample.sum(0)
        return core / max(1, core_all), facts / max(1, all_), invented / len(sample), repeated / len(sample)

    names = ("core_coverage", "coverage", "hallucinations_per_summary", "repetition")
    return {"recordings": len(rows)} | with_intervals(names, table, figures, seed)


def means(rows: Sequence[dict[str, Any]], names: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Means of these fields over the rows and their intervals."""
    table = np.array([[row[name] for name in names] for row in rows], np.float64)
    return with_intervals(names, table, lambda sample: tuple(sample.mean(0)), seed)


def with_intervals(
    names: Sequence[str],
    table: NDArray[np.float64],
    figures: Callable[[NDArray[np.float64]], tuple[float, ...]],
    seed: int,
) -> dict[str, Any]:
    """Each name with the figure of the table's rows, and of many samples of its rows the middle 95 %."""
    rng = np.random.default_rng(seed)
    samples = [figures(table[rng.integers(0, len(table), len(table))]) for _ in range(DRAWS)]
    low, high = np.percentile(np.array(samples), [2.5, 97.5], axis=0)
    out: dict[str, Any] = {}
    for i, (name, value) in enumerate(zip(names, figures(table), strict=True)):
        out[name] = round(float(value), 4)
        out[f"{name}_95"] = [round(float(low[i]), 4), round(float(high[i]), 4)]
    return out
