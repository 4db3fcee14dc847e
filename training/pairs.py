"""Pairs to prefer by: several answers of one checkpoint to the same recording, the better beside the worse.

    speechsum-train pairs --base var/aligned --start var/runs/distill/adapter.safetensors \\
        --data var/data/speech/records.jsonl --out var/data/pairs.jsonl

What DPO learns from (arXiv 2509.19631, stage three). Where facts are known by construction the judge can be a count:
the share of the facts that are covered, less the inventions a fact, less the repetition. Of the answers to a record
the pair that lies furthest apart is taken, if it lies `--margin` apart, if neither is more than `--length-ratio` times
as long as the other (or length would be what is learned), and if the better one ended its turn. What was dropped, and
why, is printed and kept beside the pairs. Knows nothing about training.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import torch

from training.corpus.record import Record
from training.examples import write_records
from training.facts import count, repetition_rate
from training.kd.rollout import Answer, Generated
from training.loop import Loop, collator_of, records_of


@dataclass(frozen=True)
class Written:
    """An answer in words, and how good it is."""

    text: str
    ended: bool
    goodness: float

    @property
    def words(self) -> int:
        """Its length."""
        return len(self.text.split())


def goodness(record: Record, text: str) -> float:
    """Covered share of the facts, less inventions a fact, less repetition; at most 1."""
    found = count(record.facts, text, record.transcript)
    facts = max(1, found.total)
    return found.covered / facts - len(found.hallucinated) / facts - repetition_rate(text)


def pair_of(answers: Sequence[Written], margin: float, length_ratio: float) -> tuple[Written, Written] | str:
    """(chosen, rejected), or in a word why there is none."""
    pairs = [(a, b) for a, b in permutations(answers, 2) if a.goodness - b.goodness >= margin and a.text and b.text]
    if not pairs:
        return "alike"
    pairs = [(a, b) for a, b in pairs if a.ended]
    if not pairs:
        return "no end"
    pairs = [(a, b) for a, b in pairs if max(a.words, b.words) <= length_ratio * min(a.words, b.words)]
    if not pairs:
        return "length"
    return max(pairs, key=lambda pair: pair[0].goodness - pair[1].goodness)


def paired(
    model: Any, writer: Generated, records: list[Record], samples: int, margin: float, length_ratio: float, batch: int
) -> tuple[list[Record], dict[str, Any]]:
    """Records with `chosen` and `rejected`, and the report: records, pairs, dropped by reason, mean length ratio."""
    out: list[Record] = []
    dropped: Counter[str] = Counter()
    ratios: list[float] = []
    for start in range(0, len(records), batch):
        group = records[start : start + batch]
        tries = [writer.sample(model, group) for _ in range(samples)]
        for record, answers in zip(group, zip(*tries, strict=True), strict=True):
            found = pair_of([_written(writer, record, answer) for answer in answers], margin, length_ratio)
            if isinstance(found, str):
                dropped[found] += 1
                continue
            chosen, rejected = found
            out.append(replace(record, chosen=chosen.text, rejected=rejected.text))
            ratios.append(chosen.words / rejected.words)
        print(f"{min(start + batch, len(records))}/{len(records)} records, {len(out)} pairs", flush=True)
    mean = round(sum(ratios) / len(ratios), 3) if ratios else None
    return out, {"records": len(records), "pairs": len(out), "dropped": dict(dropped), "length_ratio": mean}


def _written(writer: Generated, record: Record, answer: Answer) -> Written:
    text = writer.collator.text(answer.ids)
    return Written(text, answer.ended, goodness(record, text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--base", type=Path, required=True, help="assembled checkpoint")
    parser.add_argument("--start", type=Path, nargs="*", default=[], help="adapters that make it the one to improve")
    parser.add_argument("--rank", type=int, default=16, help="rank of their LoRA pairs")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="JSONL files of records")
    parser.add_argument("--out", type=Path, required=True, help="JSONL file of the pairs; the report goes beside it")
    parser.add_argument("--samples", type=int, default=4, help="answers a record")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the sampling")
    parser.add_argument("--margin", type=float, default=0.1, help="how far apart the two must lie")
    parser.add_argument("--length-ratio", type=float, default=1.5, help="how many times as long one may be")
    parser.add_argument("--batch", type=int, default=8, help="records at once")
    parser.add_argument("--max-words", type=int, default=0, help="leave out records of more spoken words; 0 keeps all")
    parser.add_argument("--seed", type=int, default=0)


def run(options: argparse.Namespace) -> int:
    """The `pairs` command."""
    records = records_of(options)
    how = Loop(steps=0, batch=options.batch, rate=0, rank=options.rank, start=options.start, seed=options.seed)
    model = how.student(options.base)
    if torch.cuda.is_available():
        model.to("cuda")
    collator = collator_of(options.base, model)
    writer = Generated(collator, options.temperature, collator.placeholders)
    found, report = paired(model, writer, records, options.samples, options.margin, options.length_ratio, options.batch)
    if not found:
        raise ValueError(f"no pair was found: {report['dropped']}")
    write_records(options.out, found)
    options.out.with_suffix(".report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report))
    return 0
