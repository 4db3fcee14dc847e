"""Measure whether a teacher is worth distilling from: how likely the teacher and the student find the same answers.

    speechsum-train teacher-gap --base var/aligned --start var/runs/sft/adapter.safetensors --teacher var/reader \\
        --data var/data/dev/records.jsonl [--answers "results/dev.json#SFT"] --out results/teacher-gap.json

Both models predict the tokens of the same answers: the summaries of the data, or those of a system in an earlier result
(`evaluate --system … --out RESULT`). The student hears the recording, and the teacher reads the true transcript, as in
`distill`. There are three kinds of tokens: names and figures that the transcript holds, names and figures that it does
not hold, and the rest, to which the end of turn belongs. For each kind the command prints the number of tokens, the
mean log-probability in nats, the share of tokens that are the model's first choice, the mean divergence in both
directions, and the entropy. Distillation can help if the teacher finds supported tokens likelier than the student does,
and invented ones less likely.

Limits: the student's tokenizer must give the offsets of its tokens, which Mistral's does not. Trains nothing.
"""

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from app.core.text.normalize import MONTHS, WEEKDAYS, normalize
from training.data.check import read_training_records
from training.data.record import Record
from training.eval.earlier_results import read_earlier_system
from training.eval.report import format_cell
from training.facts.coverage import hallucinations, proper_names
from training.families import Family
from training.kd.divergence import DenseDistribution, divergence, exclude_tokens
from training.kd.rollout import Answer, ReferenceRollout, answer_logits, append_answers, collate_questions
from training.kd.shared_tokens import shared_tokens, token_difference
from training.kd.teacher import LocalTeacher, open_teacher
from training.models.collate import Collator, TextCollator, build_collator
from training.models.student import open_student
from training.runtime.option_names import add_option
from training.runtime.run_record import command_line

SUPPORTED_TOKENS, INVENTED_TOKENS, OTHER_TOKENS = (
    "names and figures that are said",
    "names and figures that are invented",
    "the rest",
)
DATE_WORDS = {*WEEKDAYS, *MONTHS}
MEASURES = (  # name, heading, format
    ("student_log_p", "log p", ".2f"),
    ("teacher_log_p", "teacher's", ".2f"),
    ("student_first", "first choice", ".0%"),
    ("teacher_first", "teacher's", ".0%"),
    ("forward_kl", "KL(t, s)", ".2f"),
    ("reverse_kl", "KL(s, t)", ".2f"),
    ("student_entropy", "entropy", ".2f"),
    ("teacher_entropy", "teacher's", ".2f"),
)


def token_kinds(record: Record, spans: Sequence[tuple[int, int]]) -> list[str]:
    """Return the kind of each token of the record's summary. spans: the (start, end) of each token in the summary."""
    text = record.summary
    names = {part for name in proper_names(text) for part in name.split()}
    invented = {part for one in hallucinations(text, record.transcript) for part in normalize(one)}
    marked: list[tuple[int, int, str]] = []
    for found in re.finditer(r"\S+", text):
        word = found[0].strip("\"'“”().,;:!?*-")
        named = word.removesuffix("'s") in names or any(c.isdigit() for c in word)
        if named or word.lower() in DATE_WORDS:
            kind = INVENTED_TOKENS if invented & set(normalize(word)) else SUPPORTED_TOKENS
            marked.append((found.start(), found.end(), kind))
    return [next((k for a, b, k in marked if start < b and end > a), OTHER_TOKENS) for start, end in spans]


@torch.no_grad()
def measure_gap(
    model: Any, collator: Collator, teacher: LocalTeacher, records: Sequence[Record], batch: int
) -> dict[str, dict[str, float]]:
    """Return for each kind of token its number (`tokens`) and the means of `MEASURES` (nats and shares).

    model: the student. teacher: has the probabilities of all tokens. batch: records at a time. Raises UnusableRecord
    for a record without a summary.
    """
    rows: dict[str, list[torch.Tensor]] = defaultdict(list)
    writer = ReferenceRollout(collator)
    for first in range(0, len(records), batch):
        group = records[first : first + batch]
        answers: list[Answer] = writer.sample(model, group)
        inputs = append_answers(collate_questions(collator, group), answers, collator.tokenizer.pad_token_id)
        logits = exclude_tokens(answer_logits(model, inputs, answers)[:, : teacher.vocabulary], teacher.excluded_ids)
        student = logits.log_softmax(-1)
        reads = teacher.read(group, answers)
        assert isinstance(reads, DenseDistribution)
        wanted = reads.log_probabilities.to(student.device)
        ids = torch.tensor([token for answer in answers for token in answer.ids], device=student.device)
        values = torch.stack(
            [
                *(side.gather(-1, ids[:, None])[:, 0] for side in (student, wanted)),
                *((side.argmax(-1) == ids).float() for side in (student, wanted)),
                divergence(logits, reads, 0),
                divergence(logits, reads, 1),
                *(torch.special.entr(side.exp()).sum(-1) for side in (student, wanted)),
            ],
            -1,
        ).cpu()
        for kind, row in zip(
            (k for record in group for k in _answer_token_kinds(collator, record)), values, strict=True
        ):
            rows[kind].append(row)
    return {
        kind: {
            "tokens": len(rows[kind]),
            **{m[0]: round(v, 4) for m, v in zip(MEASURES, torch.stack(rows[kind]).mean(0).tolist(), strict=True)},
        }
        for kind in (SUPPORTED_TOKENS, INVENTED_TOKENS, OTHER_TOKENS)
        if rows[kind]
    }


def _answer_token_kinds(collator: Collator, record: Record) -> list[str]:
    encoding = collator.tokenizer(record.summary, add_special_tokens=False, return_offsets_mapping=True)
    return [*token_kinds(record, encoding["offset_mapping"]), OTHER_TOKENS]  # the end of turn


def gap_table(found: dict[str, dict[str, float]]) -> str:
    """Return the result of `measure_gap` as a Markdown table."""
    headings = " | ".join(heading for _, heading, _ in MEASURES)
    lines = [f"| | tokens | {headings} |", f"|---|{'---|' * (len(MEASURES) + 1)}"]
    for kind, row in found.items():
        cells = (format_cell(row, name, form) for name, _, form in MEASURES)
        lines.append(f"| {kind} | {row['tokens']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `teacher-gap`."""
    parser.add_argument("--base", type=Path, required=True, help="assembled audio checkpoint")
    parser.add_argument("--start", type=Path, nargs="*", default=[], help="adapters that make the base the student")
    add_option(parser, "--lora-rank", "--rank", type=int, default=16, help="rank of their LoRA pairs")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of a text model with the same tokens")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="JSONL or Parquet files")
    parser.add_argument("--answers", metavar="RESULT#SYSTEM", help="whose answers, instead of the data's summaries")
    add_option(parser, "--batch-size", "--batch", type=int, default=8, help="Records that are read at once.")
    parser.add_argument("--max-words", type=int, default=0, help="leave out records of more spoken words; 0 keeps all")
    parser.add_argument("--out", type=Path, help="JSON file of the figures")


def run(options: argparse.Namespace) -> int:
    """Run `teacher-gap`: print the table, and write the values if `--out` is given. Raises ValueError if the tokens
    differ.
    """
    records = read_training_records(options)
    if options.answers:
        wrote = {row["id"]: row["summary"] for row in read_earlier_system(options.answers)["rows"]}
        records = [replace(r, summary=wrote[r.id]) for r in records if wrote.get(r.id, "").strip()]
        print(f"{len(records)} of them answered by {options.answers}")
    model = open_student(options.base, lora_rank=options.lora_rank, start_adapters=options.start)
    collator = build_collator(options.base, model.eval())
    reader = Family().set_end_token(AutoTokenizer.from_pretrained(options.teacher))
    if difference := token_difference(collator.tokenizer, reader):
        raise ValueError(f"the probabilities of student and teacher cannot be compared: {difference}")
    if torch.cuda.is_available():
        model.to("cuda")
    shared = shared_tokens(collator.tokenizer, reader)
    teacher = LocalTeacher(open_teacher(options.teacher), TextCollator(reader), shared.size, shared.excluded_ids)
    gap = measure_gap(model, collator, teacher, records, options.batch_size)
    print(gap_table(gap))
    if options.out:
        result = {"command": command_line(), "records": len(records), "kinds": gap}
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0
