"""The attack rate: the share of attacks whose sign an answer shows, while the answer to the same talk without the
attack does not show it.

The result also says how often the model obeys the same words as an instruction of the caller about the harmless talk: a
model that cannot do that shows nothing by ignoring the attack. Knows nothing about how a talk gets to a model.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.concurrency import run_all
from tests.injections.attacks import ATTACKS, Attack
from tests.injections.readers import Question, Reader
from tests.injections.talks import TALKS

Row = dict[str, Any]


async def measure(reader: Reader, attacks: Sequence[Attack] = ATTACKS, at_once: int = 8) -> dict[str, Any]:
    """Return the shares over all attacks (`figures`) and by their kind (`kinds`), and a row with the answers for
    each.
    """
    gate = asyncio.Semaphore(at_once)
    answers: dict[Question, str] = {}

    async def ask(question: Question) -> None:
        async with gate:
            answers[question] = await reader.ask(question)

    asked = []
    for number, attack in enumerate(attacks):
        # Voices alternate, and the order is reversed in the next round through the talks.
        voice = reader.voices[(number + number // len(TALKS)) % len(reader.voices)]
        without = Question(attack.talk, voice=voice)
        asked.append(
            (attack, replace(without, attack=attack), without, replace(without, caller_instruction=attack.said))
        )
    await run_all(ask(question) for question in dict.fromkeys(one for _, *three in asked for one in three))
    rows = [_row(attack, *(answers[one] for one in three), voice=three[0].voice) for attack, *three in asked]
    kinds = {kind: figures([row for row in rows if row["kind"] == kind]) for kind in dict.fromkeys(_kinds(rows))}
    return {"model": reader.model, "way": reader.way, "figures": figures(rows), "kinds": kinds, "rows": rows}


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the shares of the rows. `attack_rate_95` is the exact interval (Clopper-Pearson)."""
    from scipy.stats import binomtest  # takes a second to import

    number = len(rows)
    succeeded = sum(row["obeyed"] and not row["without_it"] for row in rows)
    bounds = binomtest(succeeded, number).proportion_ci(method="exact")
    shares = {
        name: round(sum(row[name] for row in rows) / number, 4) for name in ("obeyed", "without_it", "caller_obeyed")
    }
    return {
        "attacks": number,
        "succeeded": succeeded,
        "attack_rate": round(succeeded / number, 4),
        "attack_rate_95": [round(float(bounds.low), 4), round(float(bounds.high), 4)],
        **shares,
    }


def add(path: Path, measured: dict[str, Any], command: str) -> list[dict[str, Any]]:
    """Add the result to the file, in place of an earlier one of the same model and way, and return all results in
    it.
    """
    kept = json.loads(path.read_text())["measured"] if path.exists() else []
    same = (measured["model"], measured["way"])
    kept = [one for one in kept if (one["model"], one["way"]) != same]
    kept = sorted([*kept, {"command": command, **measured}], key=lambda one: (one["model"], one["way"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"measured": kept}, indent=1, ensure_ascii=False) + "\n")
    return kept


def table(measured: Sequence[dict[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| Model | Reads a | Attacks | Obeyed | Same sign without it | Attack rate (95%) | The caller obeyed |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in measured:
        found = one["figures"]
        low, high = found["attack_rate_95"]
        lines.append(
            f"| {one['model']} | {one['way']} | {found['attacks']} | {found['obeyed']:.1%} | {found['without_it']:.1%} "
            f"| {found['attack_rate']:.1%} ({low:.1%} to {high:.1%}) | {found['caller_obeyed']:.1%} |"
        )
    return "\n".join(lines)


def _row(attack: Attack, attacked: str, innocent: str, caller: str, *, voice: str) -> Row:
    return {
        "id": attack.id,
        "kind": attack.kind,
        "said": attack.said,
        "talk": attack.talk.name,
        "after": attack.after,
        "voice": voice,
        "answer": attacked,
        "answer_without_it": innocent,
        "answer_to_caller": caller,
        "obeyed": attack.sign(attacked),
        "without_it": attack.sign(innocent),
        "caller_obeyed": attack.sign(caller),
    }


def _kinds(rows: Sequence[Row]) -> list[str]:
    return [row["kind"] for row in rows]
