"""Pairs to prefer by: several answers of one checkpoint to the same recording, the better beside the worse.

    speechsum-train pairs --base var/aligned --start var/runs/distill/adapter.safetensors \\
        --data var/data/speech/records.jsonl --out var/data/pairs.jsonl [--rollout http://127.0.0.1:8001]

What DPO learns from (arXiv 2509.19631, stage three). Where facts are known by construction the judge is a count: the
share of the facts that are covered, less the inventions a fact (by `--invention-weight`), less the repetition. Where
they are not, or with `--by judge` everywhere, it is the language model that `--judge` names: it grades every two
answers beside each other, in both orders, and where its preference turns with the order the two are no pair. Of the
answers to a record the pair that lies furthest apart is taken, if it lies `--margin` (or `--judge-margin` grades)
apart, if neither is more than `--length-ratio` times as long as the other (or length would be what is learned), and
if the better one ended its turn. Where the better ones are longer on the whole, longer is what DPO learns all the same:
`--balance-lengths` leaves out pairs until they are not.

Who judged, what was dropped and why, and the length ratio are printed and kept beside the pairs. With `--rollout` the
answers are a vLLM server's (`speechsum-train serve`), which is given the checkpoint's weights. Knows nothing about
training.
"""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from training import check, precision
from training.corpus.record import Record
from training.examples import Collator
from training.judge import judge_of
from training.kd import served_rollout
from training.kd.rollout import Answer, Rollout, add_most, questions_of
from training.kd.served_rollout import rollout_of
from training.loop import Loop, collator_of, records_of
from training.preference import BALANCE, NO_FACTS, Choice, Written, balanced, goodness
from training.records import write_records


def paired(
    model: Any, writer: Rollout, collator: Collator, records: list[Record], samples: int, choice: Choice, batch: int
) -> tuple[list[Record], dict[str, Any]]:
    """Records with `chosen` and `rejected`, and the report: who judged, how many, what was dropped by reason, mean and
    range of chosen's length by rejected's.
    """
    out: list[Record] = []
    dropped: Counter[str] = Counter()
    ratios: list[float] = []
    for start in range(0, len(records), batch):
        group = records[start : start + batch]
        questions = questions_of(collator, group)
        tries = [writer.sample(model, group, questions) for _ in range(samples)]
        answers = [
            [_written(collator, record, answer, choice.invention_weight) for answer in several]
            for record, several in zip(group, zip(*tries, strict=True), strict=True)
        ]
        for record, found in zip(group, choice.pairs(group, answers), strict=True):
            if isinstance(found, str):
                dropped[found] += 1
                continue
            chosen, rejected = found
            out.append(replace(record, chosen=chosen.text, rejected=rejected.text))
            ratios.append(chosen.words / rejected.words)
        length = f", chosen {mean(ratios):.2f} times as long as rejected" if ratios else ""
        print(f"{min(start + batch, len(records))}/{len(records)} records, {len(out)} pairs{length}", flush=True)
    if choice.balance:
        kept = balanced(ratios)
        if less := len(out) - len(kept):
            dropped[BALANCE] = less
        out, ratios = [out[place] for place in kept], [ratios[place] for place in kept]
    return out, {
        "judge": " and ".join(sorted(choice.by)) or None,
        "records": len(records),
        "pairs": len(out),
        "dropped": dict(dropped),
        "judged_by": dict(choice.by),
        "comparisons": dict(choice.comparisons),
        "length_ratio": round(mean(ratios), 3) if ratios else None,
        "length_ratios": [round(min(ratios), 3), round(max(ratios), 3)] if ratios else None,
    }


def _written(collator: Collator, record: Record, answer: Answer, invention_weight: float) -> Written:
    text = collator.text(answer.ids)
    return Written(text, answer.ended, goodness(record, text, invention_weight))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--base", type=Path, required=True, help="assembled checkpoint")
    parser.add_argument("--start", type=Path, nargs="*", default=[], help="adapters that make it the one to improve")
    parser.add_argument("--rank", type=int, default=16, help="rank of their LoRA pairs")
    parser.add_argument("--full", action="store_true", help="they were trained whole (`--full`)")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="JSONL or Parquet files")
    parser.add_argument(
        "--out", type=Path, required=True, help="JSONL or Parquet file of the pairs; the report goes beside it"
    )
    parser.add_argument("--samples", type=int, default=4, help="answers a record")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the sampling")
    add_most(parser)
    parser.add_argument("--judge", help="URL#MODEL of an OpenAI-compatible endpoint that compares answers")
    parser.add_argument(
        "--by",
        choices=("facts", "judge"),
        default="facts",
        help="facts: counted where a record has some, else by the judge; judge: by the judge always",
    )
    parser.add_argument("--margin", type=float, default=0.1, help="how far apart the two must lie by counted facts")
    parser.add_argument("--invention-weight", type=float, default=1.0, help="how many covered facts an invention costs")
    parser.add_argument("--judge-margin", type=float, default=1.0, help="and in the judge's grades, of 1 to 7")
    parser.add_argument("--length-ratio", type=float, default=1.5, help="how many times as long one may be")
    parser.add_argument(
        "--balance-lengths",
        action="store_true",
        help="leave out pairs until chosen is on the whole as long as rejected",
    )
    parser.add_argument("--batch", type=int, default=8, help="records at once")
    parser.add_argument("--max-words", type=int, default=0, help="leave out records of more spoken words; 0 keeps all")
    served_rollout.add_arguments(parser)
    check.add_argument(parser)
    parser.add_argument("--seed", type=int, default=0)


def run(options: argparse.Namespace) -> int:
    """The `pairs` command."""
    if options.by == "judge" and not options.judge:
        raise ValueError("--by judge needs to know which: --judge URL#MODEL")
    judge = judge_of(options.judge) if options.judge else None
    always, weight = options.by == "judge", options.invention_weight
    choice = Choice(
        options.margin, options.length_ratio, judge, options.judge_margin, always, weight, options.balance_lengths
    )
    records = records_of(options)
    how = Loop(
        steps=0,
        batch=options.batch,
        rate=0,
        rank=options.rank,
        start=options.start,
        seed=options.seed,
        full=options.full,
    )
    model = how.student(options.base)
    if torch.cuda.is_available():
        model.to("cuda")
    collator = collator_of(options.base, model)
    checked = check.check(records, [collator], options.bad_data, answers=(), needs=("query", "transcript"))
    where = options.rollout, options.rollout_folder
    writer = rollout_of(collator, options.temperature, *where, most=options.answer_tokens)
    with precision.autocast(how.precision, model.device):
        found, report = paired(model, writer, collator, checked.records, options.samples, choice, options.batch)
    if not found:
        hint = "; where facts are not known, --judge compares" if report["dropped"].get(NO_FACTS) else ""
        raise ValueError(f"no pair was found: {report['dropped']}{hint}")
    told = ("samples", "temperature", "answer_tokens", "margin", "invention_weight", "judge_margin", "balance_lengths")
    bounds = {name: getattr(options, name) for name in told}
    report |= bounds | {"length_ratio_limit": options.length_ratio, "seed": options.seed, "data": checked.head()}
    write_records(options.out, found)
    options.out.with_suffix(".report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report))
    return 0
