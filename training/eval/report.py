"""Systems side by side: one table, as Markdown. Knows nothing about how the figures came about."""

from collections.abc import Sequence
from typing import Any

# figure → heading, how it is written, whether it is the judge's
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("overall", "Judge, 1 to 7", ".2f"),
    ("adherence", "Adherence, 1 to 7", ".2f"),
    ("hallucination", "Hallucinating", ".0%"),
    ("core_coverage", "Core facts", ".1%"),
    ("coverage", "All facts", ".1%"),
    ("hallucinations_per_summary", "Inventions a summary", ".2f"),
    ("facts_less_inventions", "Facts less inventions", ".2f"),
    ("rouge1", "ROUGE-1", ".3f"),
    ("rouge2", "ROUGE-2", ".3f"),
    ("rougeL", "ROUGE-L", ".3f"),
    ("bertscore", "BERTScore", ".3f"),
    ("repetition", "Repetition", ".3f"),
    ("words", "Words", ".0f"),
)


def markdown_table(results: Sequence[dict[str, Any]], judge: str | None, bertscore: str | None = None) -> str:
    """One line a system, columns that no system has left out; intervals in brackets.

    results: `system`, `kind` and `figures`. judge, bertscore: what they were, for the line under the table.
    """
    columns = [column for column in COLUMNS if any(column[0] in r["figures"] for r in results)]
    lines = [
        "| System | What it is | " + " | ".join(heading for _, heading, _ in columns) + " |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for result in results:
        cells = [format_cell(result["figures"], name, form) for name, _, form in columns]
        lines.append(f"| {result['system']} | {result['kind']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", table_note(results, judge, bertscore), ""])


def table_note(results: Sequence[dict[str, Any]], judge: str | None, bertscore: str | None) -> str:
    """What the figures are of, and by what they were measured."""
    recordings, summaries = (max(r["figures"].get(name, 0) for r in results) for name in ("recordings", "summaries"))
    asked = f", {summaries} summaries" if summaries > recordings else ""
    parts = [f"{recordings} recordings{asked}; intervals are 95 %, bootstrap over recordings."]
    if any("rougeL" in r["figures"] for r in results):
        parts.append("ROUGE: F-measure against the data's own summaries, stemmed.")
    if bertscore:
        parts.append(f"BERTScore: F-measure against them, no idf, not rescaled; {bertscore}.")
    if judge:
        parts.append(f"Judge: {judge}.")
    return " ".join(parts)


def format_cell(figures: dict[str, Any], name: str, form: str) -> str:
    """A figure and its interval."""
    if name not in figures:
        return "-"
    interval = figures.get(f"{name}_95")
    return format(figures[name], form) + (
        f" ({format(interval[0], form)} to {format(interval[1], form)})" if interval else ""
    )
