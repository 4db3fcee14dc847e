"""Two systems on the same recordings: what the second has that the first has not, and whether chance would do as much.

    speechsum-train compare "results/ladder.json#SFT" "results/ladder.json#SFT, KD"

Both are systems of results that `evaluate --system … --out RESULT` wrote. Each recording is compared with itself, and
the interval is that of the difference (bootstrap over recordings, 95 %): two systems whose own intervals overlap may
well be told apart, since what makes a recording hard makes it hard for both. Knows nothing about how they answered.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from training.eval import report
from training.eval.scores import MEANS, SHARES, bootstrap_interval, with_invention_counts
from training.eval.systems import read_earlier_system


def paired_differences(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Second less first: shares and means over the rows that both have counted, and their intervals (`…_95`). Raises
    ValueError if they did not answer the same.
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
    """The command's options."""
    parser.add_argument("systems", nargs=2, metavar="RESULT#SYSTEM", help="the second is compared with the first")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace) -> int:
    """The `compare` command."""
    first, second = (read_earlier_system(where)["rows"] for where in options.systems)
    found = paired_differences(first, second)
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    print(f"{options.systems[1]} less {options.systems[0]}, {found['summaries']} summaries:")
    for name, heading, form in report.COLUMNS:
        if name in found:
            print(f"{heading:22} {report.format_cell(found, name, '+' + form)}")
    return 0
