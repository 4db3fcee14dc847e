"""Score summaries of recordings: of one running service in depth, or of several systems in one table.

    speechsum-train evaluate --records var/data/test/records.jsonl --url http://127.0.0.1:8000 --at-once 1 8 \\
        --out results/speechsum-tiny-1.json
    speechsum-train evaluate --records var/data/test/records.jsonl --system tiny=service:http://127.0.0.1:8000 \\
        --system twin=reads:var/twin --system reference --out results/ladder.json

The first command asks the service over HTTP, like any client, so that it measures what is served. Each clip is posted
alone (`--at-once 1`) and among others, and the result says how many summaries are the same both ways. The second
command writes one table (JSON with every answer, Markdown, PNG) of the systems that `training.eval.systems` describes.
The scores are covered facts if the records have facts, ROUGE if they have summaries, the grades of a judge with
`--judge`, and BERTScore with `--bert-model`. Knows nothing about models.
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
from training.eval.breakdown import (
    breakdown,
    evaluation_set_name,
    natural_rows,
    no_speech_figures,
    scored_rows,
    voice_kind,
)
from training.eval.rouge import ROUGE_NAMES as ROUGE
from training.eval.scores import aggregate, mean_figures, score_rows
from training.eval.systems import AnswerSettings, System, parse_system, post_records
from training.kd import vllm_rollout
from training.llm.judge import Judge, Verdict, open_judge
from training.llm.verdict_cache import VerdictCache
from training.models.export import add_figures
from training.runtime.option_names import add_option
from training.runtime.run_record import command_line

DECLINED = ("no_speech", "not_understood")  # finish reasons of the service where it writes no summary
AUDIO_KINDS = {"service", "hears", "cascade", *ABLATIONS}  # kinds of systems that are given the audio


def evaluate_service(url: str, records: list[Record], concurrencies: list[int]) -> dict[str, Any]:
    """Post all records to the service once for each concurrency, and return the result.

    The result has the rows of the first run, its scores (`figures`) on natural voices (on all voices if there are no
    natural ones), the same by kind of voice, language and length (`by`), the share of recordings without speech that
    were declined (`no_speech`, if there are such recordings), and the time of each run (`runs`), with the number of its
    answers that are the same as with concurrency 1.
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
    run_times: dict[str, dict[str, float]] = {}
    for n, answers in runs.items():
        run_times[str(n)] = {"wall_s": round(wall[n], 2), "rtfx": round(audio_seconds / wall[n], 2)}
        if 1 in runs:
            same = [a["summary"] == b["summary"] for a, b in zip(runs[1], answers, strict=True)]
            run_times[str(n)]["same_as_alone"] = sum(same)
    no_speech = no_speech_figures(records, rows, [answer.get("finish_reason") in DECLINED for answer in first])
    return {
        "model": first[0]["model"],
        "kind": first[0]["kind"],
        "set": evaluation_set_name(records),
        "figures": aggregate(natural_rows(records, rows) or scored_rows(records, rows)),
        "by": breakdown(records, rows),
        **({"no_speech": no_speech} if no_speech else {}),
        "runs": run_times,
        "rows": [
            row
            | {"finish_reason": answer.get("finish_reason"), "seconds": record.duration_s, "voice": voice_kind(record)}
            for record, row, answer in zip(records, rows, first, strict=True)
        ],
    }


def evaluate_system(
    system: System, records: list[Record], judge: Judge | None, bert: BertScore | None
) -> dict[str, Any]:
    """Return one system's `figures` and `rows`, and in `no_speech` the share of recordings without speech that got an
    empty answer. The reference summaries get no ROUGE and no BERTScore, because these would compare them with
    themselves.
    """
    answers = system.answers(records)
    rows = score_rows(records, answers)
    if system.kind == "reference":
        rows = [{name: value for name, value in row.items() if name not in ROUGE} for row in rows]
    elif bert:
        having = [place for place, record in enumerate(records) if record.summary.strip()]
        scores = bert.f1([records[i].summary for i in having], [answers[i] for i in having])
        for place, value in zip(having, scores, strict=True):
            rows[place]["bertscore"] = round(value, 4)
    scored = scored_rows(records, rows)
    figures = aggregate(scored) | mean_figures(scored, ["bertscore"])
    if judge:
        for row, verdict in zip(rows, judge.grade(records, answers), strict=True):
            row |= verdict.model_dump() if verdict else {}
        figures |= mean_figures(scored, list(Verdict.model_fields))
    no_speech = no_speech_figures(records, rows, [not answer.strip() for answer in answers])
    result = {"system": system.name, "kind": system.kind, "figures": figures, "rows": rows}
    return result | ({"no_speech": no_speech} if no_speech else {})


def evaluate_systems(
    options: argparse.Namespace, systems: list[System], records: list[Record], data: dict[str, Any]
) -> int:
    """Evaluate the systems and write the table: JSON, Markdown and PNG files with the same name.

    data: the counts of the data check. Returns the exit status 0. A run that is ended keeps the systems that were done.
    """
    judge = open_judge(options.judge) if options.judge else None
    if judge:  # a run that is started again continues from the kept verdicts
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
        # Written after each system, so that a run that fails keeps the earlier ones.
        options.out.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    text = report.markdown_table(results, pinned["judge"], pinned["bertscore"])
    options.out.with_suffix(".md").write_text(text)
    plot.draw_systems(
        results, options.out.with_suffix(".png"), report.table_note(results, pinned["judge"], pinned["bertscore"])
    )
    print(text)
    return 0


def headline_figure(figures: dict[str, Any]) -> str:
    """Return the most important score that there is, as text."""
    for name, heading, form in report.COLUMNS:
        if name in ("core_coverage", "rougeL") and name in figures:
            return f"{heading} {report.format_cell(figures, name, form)}"
    return f"{figures['summaries']} summaries"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `evaluate`."""
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="JSONL or Parquet files of records")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of the running service")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1], help="open requests; one run for each number")
    parser.add_argument("--limit", type=int, default=0, help="use only the first so many records; 0 uses all")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the raw result")
    parser.add_argument(
        "--system",
        action="append",
        default=[],
        help="NAME=KIND:WHERE of a system (repeat for each); writes a table instead of a service's result",
    )
    parser.add_argument("--judge", help="URL#MODEL of an OpenAI-compatible endpoint that grades the answers")
    parser.add_argument(
        "--bert-model", type=Path, help="folder of an encoder such as RoBERTa, for BERTScore; nothing is downloaded"
    )
    parser.add_argument(
        "--bert-layer",
        type=int,
        default=0,
        help="the encoder's layer for BERTScore; 0 is at three quarters of its depth",
    )
    add_option(parser, "--batch-size", "--batch", type=int, default=8, help="Records that a system answers at once.")
    parser.add_argument(
        "--section-tokens",
        type=int,
        metavar="N",
        help="Systems of the kinds reads and cascade summarize a transcript in sections of about N tokens, as the "
        "service lets a model with `section_tokens` do.",
    )
    vllm_rollout.add_arguments(parser)
    check.add_bad_data_arguments(parser)
    parser.add_argument("--write-figures", action="store_true", help="write the scores into the model's manifest")
    parser.add_argument("--root", type=Path, default=REGISTRY_ROOT, help="registry folder")


def run(options: argparse.Namespace) -> int:
    """Run `evaluate`. Raises ValueError for an unknown system, and if `--write-figures` has no score to write."""
    settings = AnswerSettings(options.batch_size, options.rollout, options.rollout_folder, options.section_tokens)
    # All of them, so that an unknown system ends the run before the first one works.
    systems = [parse_system(spec, settings) for spec in options.system]
    read = read_records(*options.records)[: options.limit or None]
    kinds = {system.kind for system in systems} or {"service"}
    checked = check.check_records(
        read,
        [],
        options.bad_data,
        answers=(),
        audio=bool(kinds & AUDIO_KINDS),
        required_fields=["query"] + ["transcript"] * bool(options.judge or kinds & {"reads", "endpoint"}),
        require_speech=options.check_speech,
    )
    records = checked.records
    if systems:
        return evaluate_systems(options, systems, records, checked.log_entry())
    result = evaluate_service(options.url, records, options.at_once)
    result["data"] = checked.log_entry()
    result["command"] = command_line()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    shown = ("model", "figures", "no_speech", "runs")
    print(json.dumps({key: result[key] for key in shown if key in result}, indent=1))
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
