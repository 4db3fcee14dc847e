"""Evaluation: post recordings to a running service and count the known facts in the summaries that come back.

    speechsum-train evaluate --records var/data/test/records.jsonl --url http://127.0.0.1:8000 --at-once 1 8 --out
    results/speechsum-tiny-1.json

Asks over HTTP, like any caller, so that what is measured is what is served. Each clip is posted alone (`--at-once 1`)
and among others; whether the summary is the same both ways is part of the result. Intervals are bootstrap percentiles
over recordings. Knows nothing about models.
"""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from model_repo.manifest import Figures
from model_repo.registry import ROOT
from training.corpus.record import Record
from training.examples import read_records
from training.export import add_figures
from training.facts import count, repetition_rate

TIMEOUT_S = 900


async def summaries(url: str, records: list[Record], at_once: int) -> list[dict[str, Any]]:
    """The service's JSON answers, in the order of the records; at most `at_once` requests are open."""
    gate = asyncio.Semaphore(at_once)

    async def ask(client: httpx.AsyncClient, record: Record) -> dict[str, Any]:
        async with gate:
            audio = await asyncio.to_thread(Path(str(record.audio)).read_bytes)
            fields = {key: str(value) for key, value in record.style.items()}
            answer = await client.post("/v1/audio/summaries", files={"file": audio}, data=fields)
        if answer.status_code != 200:
            raise RuntimeError(f"{record.id}: {answer.status_code} {answer.text}")
        return dict(answer.json())

    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client:
        return await asyncio.gather(*(ask(client, record) for record in records))


def score(record: Record, summary: str) -> dict[str, Any]:
    """The counts of one summary."""
    counts = asdict(count(record.facts, summary, record.transcript))
    return counts | {"words": len(summary.split()), "repetition": round(repetition_rate(summary), 4)}


def aggregate(rows: list[dict[str, Any]], draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Shares over all recordings, with 95 % bootstrap intervals over recordings."""
    table = np.array(
        [
            [r["core_covered"], r["core_total"], r["covered"], r["total"], len(r["hallucinated"]), r["repetition"]]
            for r in rows
        ],
        dtype=np.float64,
    )

    def figures(sample: Any) -> tuple[float, ...]:
        core, core_all, facts, all_, invented, repeated = sample.sum(0)
        return core / max(1, core_all), facts / max(1, all_), invented / len(sample), repeated / len(sample)

    rng = np.random.default_rng(seed)
    samples = [figures(table[rng.integers(0, len(table), len(table))]) for _ in range(draws)]
    low, high = np.percentile(np.array(samples), [2.5, 97.5], axis=0)
    names = ("core_coverage", "coverage", "hallucinations_per_summary", "repetition")
    out: dict[str, Any] = {"recordings": len(rows)}
    for i, (name, value) in enumerate(zip(names, figures(table), strict=True)):
        out[name] = round(float(value), 4)
        out[f"{name}_95"] = [round(float(low[i]), 4), round(float(high[i]), 4)]
    return out


def evaluate(url: str, records: list[Record], at_once: list[int]) -> dict[str, Any]:
    """Post everything once a concurrency; raw rows of the first, aggregate figures of each, agreement between them."""
    runs: dict[int, list[dict[str, Any]]] = {}
    wall: dict[int, float] = {}
    for n in at_once:
        began = time.perf_counter()
        runs[n] = asyncio.run(summaries(url, records, n))
        wall[n] = time.perf_counter() - began
    first = runs[at_once[0]]
    rows = [
        {"id": r.id, "summary": a["summary"], **score(r, a["summary"])} for r, a in zip(records, first, strict=True)
    ]
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="JSONL files of spoken records")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the running service")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1], help="requests open at once; a run for each")
    parser.add_argument("--limit", type=int, default=0, help="only the first so many records")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the raw result")
    parser.add_argument("--write-figures", action="store_true", help="write the figures into the model's manifest")
    parser.add_argument("--root", type=Path, default=ROOT, help="registry folder")


def run(options: argparse.Namespace) -> int:
    """The `evaluate` command."""
    records = read_records(*options.records)
    result = evaluate(options.url, records[: options.limit or None], options.at_once)
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
