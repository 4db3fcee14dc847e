"""The table of systems as Markdown. Knows nothing about how the scores were computed."""

from collections.abc import Sequence
from typing import Any

# (score, heading, format)
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
    """Return a table with a line for each system, and a column for each score that a system has; with its interval.

    results: for each system its `system` (name), `kind` and `figures`. judge, bertscore: their names, for the line
    under the table.
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
    """Return the line under the table: the number of recordings, and how the scores were measured."""
    recordings, summaries = (max(r["figures"].get(name, 0) for r in results) for name in ("recordings", "summaries"))
    summaries_text = f", {summaries} summaries" if summaries > recordings else ""
    parts = [f"{recordings} recordings{summaries_text}; intervals are 95 %, bootstrap over recordings."]
    if any("rougeL" in r["figures"] for r in results):
        parts.append("ROUGE: F-measure against the data's own summaries, stemmed.")
    if bertscore:
        parts.append(f"BERTScore: F-measure against them, no idf, not rescaled; {bertscore}.")
    if judge:
        parts.append(f"Judge: {judge}.")
    return " ".join(parts)


def format_cell(figures: dict[str, Any], name: str, form: str) -> str:
    """Return a score and its interval (`…_95`) as text, or "-" if there is no such score. form: a format
    specification.
    """
    if name not in figures:
        return "-"
    interval = figures.get(f"{name}_95")
    return format(figures[name], form) + (
        f" ({format(interval[0], form)} to {format(interval[1], form)})" if interval else ""
    )
