"""Systems side by side: one table, as Markdown and as a picture. Knows nothing about how the figures came about."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

# figure → heading, how it is written, whether it is the judge's
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("overall", "Judge, 1 to 7", ".2f"),
    ("adherence", "Adherence, 1 to 7", ".2f"),
    ("hallucination", "Hallucinating", ".0%"),
    ("core_coverage", "Core facts", ".1%"),
    ("coverage", "All facts", ".1%"),
    ("hallucinations_per_summary", "Inventions a summary", ".2f"),
    ("repetition", "Repetition", ".3f"),
    ("words", "Words", ".0f"),
)


def markdown(results: Sequence[dict[str, Any]], judge: str | None) -> str:
    """One line a system, columns that no system has left out; intervals in brackets.

    results: `system`, `kind` and `figures`. judge: its name, for the line under the table.
    """
    columns = [column for column in COLUMNS if any(column[0] in r["figures"] for r in results)]
    lines = [
        "| System | What it is | " + " | ".join(heading for _, heading, _ in columns) + " |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for result in results:
        cells = [cell(result["figures"], name, form) for name, _, form in columns]
        lines.append(f"| {result['system']} | {result['kind']} | " + " | ".join(cells) + " |")
    count = max(r["figures"]["recordings"] for r in results)
    under = f"{count} recordings; in brackets 95 % bootstrap intervals over recordings."
    return "\n".join([*lines, "", under + (f" Judge: {judge}." if judge else ""), ""])


def cell(figures: dict[str, Any], name: str, form: str) -> str:
    """A figure and its interval."""
    if name not in figures:
        return "-"
    interval = figures.get(f"{name}_95")
    return format(figures[name], form) + (
        f" ({format(interval[0], form)} to {format(interval[1], form)})" if interval else ""
    )


def picture(results: Sequence[dict[str, Any]], out: Path) -> None:
    """Bars of core facts covered and of inventions, a system a bar, with intervals, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [r["system"] for r in results]
    panels = (("core_coverage", "core facts covered"), ("hallucinations_per_summary", "inventions a summary"))
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 1.2 + 0.5 * len(names)), sharey=True, layout="constrained")
    for axis, (figure_name, title) in zip(axes, panels, strict=True):
        values = [r["figures"][figure_name] for r in results]
        ends = [r["figures"][f"{figure_name}_95"] for r in results]
        away = [
            [max(0.0, v - low) for v, (low, _) in zip(values, ends, strict=True)],
            [max(0.0, high - v) for v, (_, high) in zip(values, ends, strict=True)],
        ]
        axis.barh(names, values, xerr=away, color="C0", ecolor="0.3", capsize=3, height=0.6)
        axis.set_title(title, fontsize=10)
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_xlim(0, 1)
    axes[0].invert_yaxis()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    pyplot.close(figure)
