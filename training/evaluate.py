"""Evaluation: recordings in, summaries counted; of one running service in depth, or of several systems side by side.

    speechsum-train evaluate --records var/data/test/records.jsonl --url http://127.0.0.1:8000 --at-once 1 8 --out
    results/speechsum-tiny-1.json
    speechsum-train evaluate --records var/data/test/records.jsonl --system tiny=service:http://127.0.0.1:8000 \\
        --system twin=reads:var/twin --system reference --out results/ladder.json

The first asks over HTTP, like any caller, so that what is measured is what is served. Each clip is posted alone
(`--at-once 1`) and among others; whether the summary is the same both ways is part of the result. The second writes one
table (JSON with every answer, Markdown, PNG) over the systems that `training.systems` names, with the grades of a judge
if `--judge` names one. Knows nothing about models.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from model_repo.manifest import Figures
from model_repo.registry import ROOT
from training import table
from training.corpus.record import Record
from training.endpoint import endpoint
from training.examples import read_records
from training.export import add_figures
from training.judge import Judge, Verdict
from training.scores import aggregate, means, scored
from training.systems import System, posted, system_of


def evaluate(url: str, records: list[Record], at_once: list[int]) -> dict[str, Any]:
    """Post everything once a concurrency; raw rows of the first, aggregate figures of each, agreement between them."""
    runs: dict[int, list[dict[str, Any]]] = {}
    wall: dict[int, float] = {}
    for n in at_once:
        began = time.perf_counter()
        runs[n] = asyncio.run(posted(url, records, n))
        wall[n] = time.perf_counter() - began
    first = runs[at_once[0]]
    rows = scored(records, [answer["summary"] for answer in first])
    audio_seconds = sum(a["audio_seconds"] for a in first)
    return {
        "model": first[0]["model"],
        "kind": first[0]["kind"],
        "figures": aggregate(rows),
        "runs": {
            str(n): {
                "wall_s": round(wall[n], 2),
                "rtfx": round(audio_seconds / wall[n], 2),
                "same_as_alone": sum(a["summary"] == b["summary"] for a, b in zip(first, answers, strict=True)),
            }
            for n, answers in runs.items()
        },
        "rows": rows,
    }


def counted(system: System, records: list[Record], judge: Judge | None) -> dict[str, Any]:
    """One system's line and its rows."""
    answers = system.answers(records)
    rows = scored(records, answers)
    figures = aggregate(rows) | means(rows, ["words"])
    if judge:
        for row, verdict in zip(rows, judge.grade(records, answers), strict=True):
            row |= verdict.model_dump()
        figures |= means(rows, list(Verdict.model_fields))
    return {"system": system.name, "kind": system.kind, "figures": figures, "rows": rows}


def side_by_side(options: argparse.Namespace, records: list[Record]) -> int:
    """The table over `--system`: JSON, Markdown and PNG of one name."""
    systems = [system_of(spec, options.batch) for spec in options.system]  # all of them known before the first works
    judge = judge_of(options.judge) if options.judge else None
    results = []
    for system in systems:
        results.append(counted(system, records, judge))
        print(f"{system.name}: core facts {results[-1]['figures']['core_coverage']:.1%}", flush=True)
    name = judge.model if judge else None
    whole = {"command": "speechsum-train " + " ".join(sys.argv[1:]), "judge": name, "systems": results}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    text = table.markdown(results, name)
    options.out.with_suffix(".md").write_text(text)
    table.picture(results, options.out.with_suffix(".png"))
    print(text)
    return 0


def judge_of(spec: str) -> Judge:
    """URL#MODEL."""
    return Judge(*endpoint(spec))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="JSONL files of spoken records")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the running service")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1], help="requests open at once; a run for each")
    parser.add_argument("--limit", type=int, default=0, help="only the first so many records")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the raw result")
    parser.add_argument(
        "--system",
        action="append",
        default=[],
        help="NAME=KIND:WHERE, once for each: writes a table",
    )
    parser.add_argument("--judge", help="URL#MODEL of an OpenAI-compatible endpoint that grades the table's answers")
    parser.add_argument("--batch", type=int, default=8, help="records that a system answers at once")
    parser.add_argument("--write-figures", action="store_true", help="write the figures into the model's manifest")
    parser.add_argument("--root", type=Path, default=ROOT, help="registry folder")


def run(options: argparse.Namespace) -> int:
    """The `evaluate` command."""
    records = read_records(*options.records)[: options.limit or None]
    if options.system:
        return side_by_side(options, records)
    result = evaluate(options.url, records, options.at_once)
    result["command"] = "speechsum-train " + " ".join(sys.argv[1:])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps({key: result[key] for key in ("model", "figures", "runs")}, indent=1))
    if options.write_figures:
        name, _, version = result["model"].partition("@")
        figures = Figures(
            score=result["figures"]["core_coverage"],
            command=result["command"],
            result=str(options.out),
            **result["figures"],
        )
        add_figures(options.root, name, version, figures)
    return 0
