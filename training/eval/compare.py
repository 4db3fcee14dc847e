"""Compare two systems on the same recordings: by how much does the second differ from the first, and is it more than
chance?

    speechsum-train compare "results/ladder.json#SFT" "results/ladder.json#SFT, KD"

Both are systems in results of `evaluate --system … --out RESULT`. The comparison is paired by recording, and the
interval is that of the difference (bootstrap over recordings, 95 %). So two systems can differ significantly although
their own intervals overlap: a hard recording is hard for both. Knows nothing about how they answered.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from training.eval import report
from training.eval.earlier_results import read_earlier_system
from training.eval.scores import MEANS, SHARES, bootstrap_interval, with_invention_counts


def paired_differences(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the scores of the second system minus those of the first, and their intervals (`…_95`).

    first, second: the rows of the two systems, as `training.eval.scores.score_rows` makes them. A score is there if
    both have it in some row. Raises ValueError if the two did not answer the same recordings.
    """
    other = {row["id"]: row for row in second}
    if other.keys() != {row["id"] for row in first}:
        raise ValueError("the two did not answer the same recordings")
    pairs = [(with_invention_counts(row), with_invention_counts(other[row["id"]])) for row in first]
    out: dict[str, Any] = {"summaries": len(pairs)}
    for name, (covered, total) in SHARES.items():
        if any(a[total] for a, _ in pairs):
            ahead = [b[covered] - a[covered] for a, b in pairs]
            out |= bootstrap_interval(name, [a for a, _ in pairs], ahead, [a[total] for a, _ in pairs], seed=0)
    for name in MEANS:
        if both := [(a, b) for a, b in pairs if name in a and name in b]:
            ahead = [b[name] - a[name] for a, b in both]
            out |= bootstrap_interval(name, [a for a, _ in both], ahead, [1] * len(both), seed=0)
    return out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `compare`."""
    parser.add_argument("systems", nargs=2, metavar="RESULT#SYSTEM", help="the second is compared with the first")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(options: argparse.Namespace) -> int:
    """Run `compare`: print the differences."""
    first, second = (read_earlier_system(where)["rows"] for where in options.systems)
    differences = paired_differences(first, second)
    if options.json:
        print(json.dumps(differences, indent=1))
        return 0
    print(f"{options.systems[1]} less {options.systems[0]}, {differences['summaries']} summaries:")
    for name, heading, form in report.COLUMNS:
        if name in differences:
            print(f"{heading:22} {report.format_cell(differences, name, '+' + form)}")
    return 0
