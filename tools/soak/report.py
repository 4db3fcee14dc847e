"""A run's report, as Markdown to read and JSON to compare. Knows nothing about how a run is made."""

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from tools.soak.ledger import Outcome
from tools.soak.run import Result

MIB = 1 << 20


def summarize_result(result: Result) -> dict[str, Any]:
    """Return the figures of a run, ready for JSON."""
    ledger = result.ledger
    webhooks = [sum(ids.values()) for ids in ledger.webhooks.values()]
    outcomes = {
        kind: dict(sorted(Counter(str(one.outcome) for one in ledger.entries if one.kind == kind).items()))
        for kind in sorted({one.kind for one in ledger.entries})
    }
    return {
        "options": asdict(result.options),
        "database": result.database,
        "requests": len(ledger.entries),
        "outcomes": dict(sorted(Counter(str(one.outcome) for one in ledger.entries).items())),
        "outcomes_by_kind": outcomes,
        "errors": dict(sorted(Counter(one.code for one in ledger.entries if one.outcome is Outcome.ERROR).items())),
        "jobs": len(ledger.jobs),
        "job_states": dict(sorted(Counter(states[0] for states in result.listed.values()).items())),
        "webhooks": len(webhooks),
        "webhook_deliveries": sum(webhooks),
        "faults": len(result.windows),
        "faults_by_kind": dict(sorted(Counter(str(one.kind) for one in result.windows).items())),
        "not_injected": result.not_injected,
        "lives": result.lives,
        "trend": asdict(result.trend) if result.trend else None,
        "violations": result.violations,
    }


def write_json(result: Result) -> str:
    """Return the whole report as JSON: the figures, the faults as they happened, and the samples."""
    rows = {
        "windows": [asdict(window) for window in result.windows],
        "samples": [asdict(sample) for sample in result.samples],
    }
    return json.dumps(summarize_result(result) | rows, indent=1) + "\n"


def write_markdown(result: Result) -> str:
    """Return the report as a page."""
    figures = summarize_result(result)
    options = result.options
    lines = [
        f"# Soak of {options.seconds / 60:g} minutes",
        "",
        f"{'No rule was broken.' if not result.violations else f'{len(result.violations)} rules were broken.'} "
        f"{figures['requests']} requests of {options.clients} clients, {figures['faults']} faults, seed "
        f"{options.seed}, {result.database}; the service was started {result.lives} times.",
        "",
        "| Requests | " + " | ".join(Outcome) + " |",
        "|---|" + "---|" * len(Outcome),
        *(
            f"| {kind} | " + " | ".join(str(counts.get(outcome, 0)) for outcome in Outcome) + " |"
            for kind, counts in figures["outcomes_by_kind"].items()
        ),
        "",
        f"Errors by code: {_counts(figures['errors'])}.",
        "",
        f"Jobs: {figures['jobs']} queued; {_counts(figures['job_states'])}. Webhooks: {figures['webhooks']} ids in "
        f"{figures['webhook_deliveries']} deliveries.",
        "",
        f"Faults: {_counts(figures['faults_by_kind'])}.",
        *(f"Not injected: {reason}." for reason in result.not_injected),
        "",
    ]
    if trend := result.trend:
        lines += [
            f"Over the longest life ({trend.seconds:.0f} s, {trend.samples} samples): memory "
            f"{trend.memory_first_bytes / MIB:.0f} to {trend.memory_last_bytes / MIB:.0f} MiB (medians of the first "
            f"and last third), slope {trend.memory_slope_bytes / MIB:+.2f} MiB a minute; open files "
            f"{trend.files_growth:+.0f}, slope {trend.files_slope:+.2f} a minute.",
            "",
        ]
    if result.violations:
        lines += ["## Violations", "", *(f"- {violation}" for violation in result.violations), ""]
    return "\n".join(lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
