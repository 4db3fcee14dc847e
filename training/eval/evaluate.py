"""Evaluation: recordings in, summaries counted; of one running service in depth, or of several systems side by side.

    speechsum-train evaluate --records var/data/test/records.jsonl --url http://127.0.0.1:8000 --at-once 1 8 --out
    results/speechsum-tiny-1.json
    speechsum-train evaluate --records var/data/test/records.jsonl --system tiny=service:http://127.0.0.1:8000 \\
        --system twin=reads:var/twin --system reference --out results/ladder.json

The first asks over HTTP, like any caller, so that what is measured is what is served. Each clip is posted alone
(`--at-once 1`) and among others; whether the summary is the same both ways is part of the result. The second writes one
table (JSON with every answer, Markdown, PNG) over the systems that `training.eval.systems` names: counted facts where
facts are known, ROUGE where the data has summaries, the grades of a judge if `--judge` names one, BERTScore if
`--bert-model` does. Knows nothing about models.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any

from model_repo.manifest import Figures
from model_repo.registry import REGISTRY_ROOT
from training.data import check
from training.data.record import Record
from training.data.record_files import read_records
from training.eval import plot, report
from training.eval.ablations import ABLATIONS
from training.eval.bertscore import BertScore
from training.eval.breakdown import breakdown, evaluation_set_name, natural_rows, voice_kind
from training.eval.rouge import ROUGE_NAMES as ROUGE
from training.eval.scores import aggregate, mean_figures, score_rows
from training.eval.systems import AnswerSettings, System, parse_system, post_records
from training.kd import vllm_rollout
from training.llm.judge import Judge, Verdict, open_judge
from training.llm.verdict_cache import VerdictCache
from training.models.export import add_figures
from training.runtime.option_names import add_option
from training.runtime.run_record import command_line

AUDIO_KINDS = {"service", "hears", "cascade", *ABLATIONS}  # kinds of systems that are given the audio


def evaluate_service(url: str, records: list[Record], concurrencies: list[int]) -> dict[str, Any]:
    """Post everything once for each concurrency: raw rows of the first, its figures on natural voices (on all where
    there are none), the same by kind of voice and by length, and how many answers agree between the runs.
    """
    runs: dict[int, list[dict[str, Any]]] = {}
    wall: dict[int, float] = {}
    for n in concurrencies:
        began = time.perf_counter()
        runs[n] = asyncio.run(post_records(url, records, n))
        wall[n] = time.perf_counter() - began
    first = runs[concurrencies[0]]
    rows = score_rows(records, [answer["summary"] for answer in first])
    audio_seconds = sum(a["audio_seconds"] for a in first)
    found: dict[str, dict[str, float]] = {}
    for n, answers in runs.items():
        found[str(n)] = {"wall_s": round(wall[n], 2), "rtfx": round(audio_seconds / wall[n], 2)}
        if 1 in runs:
            same = [a["summary"] == b["summary"] for a, b in zip(runs[1], answers, strict=True)]
            found[str(n)]["same_as_alone"] = sum(same)
    return {
        "model": first[0]["model"],
        "kind": first[0]["kind"],
        "set": evaluation_set_name(records),
        "figures": aggregate(natural_rows(records, rows) or rows),
        "by": breakdown(records, rows),
        "runs": found,
        "rows": [
            row
            | {"finish_reason": answer.get("finish_reason"), "seconds": record.duration_s, "voice": voice_kind(record)}
            for record, row, answer in zip(records, rows, first, strict=True)
        ],
    }


def evaluate_system(
    system: System, records: list[Record], judge: Judge | None, bert: BertScore | None
) -> dict[str, Any]:
    """One system's line and its rows. The data's own summaries are not compared with themselves."""
    answers = system.answers(records)
    rows = score_rows(records, answers)
    if system.kind == "reference":
        rows = [{name: value for name, value in row.items() if name not in ROUGE} for row in rows]
    elif bert:
        having = [place for place, record in enumerate(records) if record.summary.strip()]
        found = bert.f1([records[i].summary for i in having], [answers[i] for i in having])
        for place, value in zip(having, found, strict=True):
            rows[place]["bertscore"] = round(value, 4)
    figures = aggregate(rows) | mean_figures(rows, ["bertscore"])
    if judge:
        for row, verdict in zip(rows, judge.grade(records, answers), strict=True):
            row |= verdict.model_dump() if verdict else {}
        figures |= mean_figures(rows, list(Verdict.model_fields))
    return {"system": system.name, "kind": system.kind, "figures": figures, "rows": rows}


def evaluate_systems(
    options: argparse.Namespace, systems: list[System], records: list[Record], data: dict[str, Any]
) -> int:
    """The table over the systems: JSON, Markdown and PNG of one name."""
    judge = open_judge(options.judge) if options.judge else None
    if judge:  # a rerun goes on from what it said
        judge.verdicts = VerdictCache(options.out.with_suffix(".verdicts.jsonl"))
    bert = BertScore(options.bert_model, options.bert_layer) if options.bert_model else None
    results: list[dict[str, Any]] = []
    pinned = {"judge": judge.model if judge else None, "bertscore": bert.name if bert else None}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for system in systems:
        results.append(evaluate_system(system, records, judge, bert))
        print(f"{system.name}: {headline_figure(results[-1]['figures'])}", flush=True)
        if bert and bert.truncated:
            pinned["bertscore"] = (
                f"{bert.name}; {len(bert.truncated)} texts of more than {bert.longest} tokens cut there"
            )
        whole = {"command": command_line()} | pinned | {"data": data, "systems": results}
        # After each: a run that breaks off leaves what it had.
        options.out.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    text = report.markdown_table(results, pinned["judge"], pinned["bertscore"])
    options.out.with_suffix(".md").write_text(text)
    plot.draw_systems(
        results, options.out.with_suffix(".png"), report.table_note(results, pinned["judge"], pinned["bertscore"])
    )
    print(text)
    return 0


def headline_figure(figures: dict[str, Any]) -> str:
    """The first figure there is of those that matter most."""
    for name, heading, form in report.COLUMNS:
        if name in ("core_coverage", "rougeL") and name in figures:
            return f"{heading} {report.format_cell(figures, name, form)}"
    return f"{figures['summaries']} summaries"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="JSONL or Parquet files of records")
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
    parser.add_argument(
        "--bert-model", type=Path, help="folder of an encoder such as RoBERTa, for BERTScore; nothing is downloaded"
    )
    parser.add_argument(
        "--bert-layer", type=int, default=0, help="whose vectors it takes; 0 is three quarters of the way up"
    )
    add_option(parser, "--batch-size", "--batch", type=int, default=8, help="Records that a system answers at once.")
    vllm_rollout.add_arguments(parser)
    check.add_bad_data_arguments(parser)
    parser.add_argument("--write-figures", action="store_true", help="write the figures into the model's manifest")
    parser.add_argument("--root", type=Path, default=REGISTRY_ROOT, help="registry folder")


def run(options: argparse.Namespace) -> int:
    """The `evaluate_service` command."""
    means = AnswerSettings(options.batch_size, options.rollout, options.rollout_folder)
    systems = [parse_system(spec, means) for spec in options.system]  # all of them known before the first works
    read = read_records(*options.records)[: options.limit or None]
    kinds = {system.kind for system in systems} or {"service"}
    needs = ["query"] + ["transcript"] * bool(options.judge or kinds & {"reads", "endpoint"})
    hears, speech = bool(kinds & AUDIO_KINDS), options.check_speech
    checked = check.check_records(
        read, [], options.bad_data, answers=(), audio=hears, required_fields=needs, require_speech=speech
    )
    records = checked.records
    if systems:
        return evaluate_systems(options, systems, records, checked.log_entry())
    result = evaluate_service(options.url, records, options.at_once)
    result["data"] = checked.log_entry()
    result["command"] = command_line()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps({key: result[key] for key in ("model", "figures", "runs")}, indent=1))
    if options.write_figures:
        if "facts_less_inventions" not in result["figures"]:
            raise ValueError("no record has facts and a transcript: --write-figures has no score to write")
        name, _, version = result["model"].partition("@")
        figures = Figures(
            score=result["figures"]["facts_less_inventions"],
            set=result["set"],
            command=result["command"],
            result=str(options.out),
            **result["figures"],
            by=result["by"],
        )
        add_figures(options.root, name, version, figures)
    return 0
