"""Preference pairs for DPO: several answers of one checkpoint to the same recording, a better one with a worse one.

    speechsum-train pairs --base var/aligned --start var/runs/distill/adapter.safetensors \\
        --data var/data/speech/records.jsonl --out var/data/pairs.jsonl [--rollout http://127.0.0.1:8001]

`dpo` learns from these pairs (arXiv 2509.19631, stage three). If the facts of a record are known, answers are compared
by a count: the share of the facts that they cover, minus the inventions per fact (times `--invention-weight`), minus
the repetition. If they are not known, or always with `--by judge`, the language model of `--judge` compares every two
answers in both orders. If its preference changes with the order, the two are no pair.

Of the answers to a record, the two that differ most become the pair, if they differ by `--margin` (or by
`--judge-margin` grades), if neither is more than `--length-ratio` times as long as the other (or DPO would learn
length), and if the better one ended its turn. If the better answers are longer on average, DPO learns length all the
same: `--balance-lengths` leaves out pairs until they are not. An answer that names something which was not heard may be
right by luck, and that cannot be learned: with `--agreement-margin` the other answers to the record have to agree with
the better one more than with the worse one.

The report, which is printed and written beside the pairs (`.report.json`), says who compared the answers, how many
records gave no pair and why, and the length ratio. Every answer (`.answers.jsonl`) and every verdict of the judge
(`.verdicts.jsonl`) is written too, and a repeated run continues from the verdicts. Records to which the judge gives no
verdict are no pair, and are listed. Sampling takes most of the time, so

    speechsum-train pairs --answers var/data/pairs.answers.jsonl --data var/data/speech/records.jsonl \\
        --out var/data/other.jsonl --margin 0.3

chooses again among the answers of an earlier run. With `--rollout` a vLLM server (`speechsum-train serve`) samples,
with the checkpoint's weights. Knows nothing about training.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch.utils.data import DataLoader

from training.data import check
from training.data.answer_files import AnswerGroup, RecordAnswers, read_answers, write_answers
from training.data.record import Record
from training.data.record_files import MAX_PROBLEMS_SHOWN, write_records
from training.eval.rouge import rouge_agreement
from training.kd import vllm_rollout
from training.kd.rollout import Rollout, add_answer_tokens_argument, collate_questions
from training.kd.vllm_rollout import make_rollout
from training.llm.judge import open_judge
from training.llm.verdict_cache import VerdictCache
from training.models import precision
from training.models.collate import Collator, build_collator
from training.models.student import open_student
from training.recipes.pair_rules import BALANCE, NO_FACTS, PairSelector, ScoredAnswer, balance_pair_lengths, goodness
from training.runtime.option_names import add_option
from training.runtime.run_record import REPORT_SUFFIX

REQUIRED_FIELDS = ("query", "transcript")
VERDICTS_SUFFIX = ".verdicts.jsonl"
PRECISION = "auto"  # the number format that samples, of `training.models.precision`


def make_pairs(groups: Iterable[AnswerGroup], count: int, choice: PairSelector) -> tuple[list[Record], dict[str, Any]]:
    """Return the records that have a pair, with `chosen` and `rejected`, and the report.

    Args:
        groups: records with their answers, some at a time.
        count: number of all records, for the progress that is printed.
        choice: makes the pairs.
    """
    pairs: list[Record] = []
    dropped: Counter[str] = Counter()
    ratios: list[float] = []
    done = 0
    for group, tries in groups:
        answers = [_score_answers(record, several, choice) for record, several in zip(group, tries, strict=True)]
        for record, found in zip(group, choice.pairs(group, answers), strict=True):
            if isinstance(found, str):
                dropped[found] += 1
                continue
            chosen, rejected = found
            pairs.append(replace(record, chosen=chosen.text, rejected=rejected.text))
            ratios.append(chosen.words / rejected.words)
        done += len(group)
        length = f", chosen {mean(ratios):.2f} times as long as rejected" if ratios else ""
        print(f"{done}/{count} records, {len(pairs)} pairs{length}", flush=True)
    if choice.balance_lengths:
        places = balance_pair_lengths(ratios)
        if less := len(pairs) - len(places):
            dropped[BALANCE] = less
        pairs, ratios = [pairs[place] for place in places], [ratios[place] for place in places]
    return pairs, {
        "judge": " and ".join(sorted(choice.judged_by)) or None,
        "records": count,
        "pairs": len(pairs),
        "dropped": dict(dropped),
        "judged_by": dict(choice.judged_by),
        "comparisons": dict(choice.comparisons),
        "length_ratio": round(mean(ratios), 3) if ratios else None,
        "length_ratios": [round(min(ratios), 3), round(max(ratios), 3)] if ratios else None,
    }


def _score_answers(record: Record, several: RecordAnswers, choice: PairSelector) -> list[ScoredAnswer]:
    agree = [0.0] * len(several)
    if choice.agreement_margin is not None:
        agree = rouge_agreement([text for text, _ in several], record.language)
    return [
        ScoredAnswer(text, ended, goodness(record, text, choice.invention_weight), mean_agreement)
        for (text, ended), mean_agreement in zip(several, agree, strict=True)
    ]


def sample_answers(
    model: Any,
    writer: Rollout,
    collator: Collator,
    records: list[Record],
    samples: int,
    batch: int,
    file: Path,
    workers: int = 0,
) -> Iterator[AnswerGroup]:
    """Yield `samples` answers to every record, `batch` records at a time, and write each group of them to the file.

    workers: processes that encode the questions, so that a GPU need not wait for audio.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    groups: Any = [records[start : start + batch] for start in range(0, len(records), batch)]
    loader = DataLoader(groups, batch_size=None, collate_fn=partial(collate_questions, collator), num_workers=workers)
    with file.open("w", encoding="utf-8") as output:
        for group, questions in zip(groups, loader, strict=True):
            samples_of_group = [writer.sample(model, group, questions) for _ in range(samples)]
            found = [
                [(collator.decode_answer(a.ids), a.is_complete) for a in several]
                for several in zip(*samples_of_group, strict=True)
            ]
            write_answers(output, group, found)
            yield group, found


def answer_groups(file: Path, records: list[Record], batch: int) -> Iterator[AnswerGroup]:
    """Yield the answers in the file, `batch` records at a time. Raises ValueError if a record has no answers there."""
    answers = read_answers(file)
    if missing := [record.id for record in records if record.id not in answers]:
        raise ValueError(f"{file} has no answers to {len(missing)} of {len(records)} records, {missing[0]} among them")
    for start in range(0, len(records), batch):
        group = records[start : start + batch]
        yield group, [answers[record.id] for record in group]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--base", type=Path, help="Assembled checkpoint to sample from.")
    what = "Adapters of the checkpoint, which are loaded in this order."
    parser.add_argument("--start", type=Path, nargs="*", default=[], help=what)
    add_option(parser, "--lora-rank", "--rank", type=int, default=16, help="Rank of their LoRA matrices.")
    parser.add_argument(
        "--encoder-rank", type=int, default=0, help="Rank of their LoRA matrices on the audio encoder. 0 is none."
    )
    what = "They hold whole tensors, of a run with --full-finetuning."
    add_option(parser, "--full-finetuning", "--full", action="store_true", help=what)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="JSONL or Parquet files of records.")
    parser.add_argument(
        "--out", type=Path, required=True, help="JSONL or Parquet file for the pairs. The report is written beside it."
    )
    parser.add_argument(
        "--answers", type=Path, help="Choose among the answers in this file of an earlier run, and sample none."
    )
    add_option(parser, "--num-generations", "--samples", type=int, default=4, help="Answers to sample for each record.")
    parser.add_argument("--temperature", type=float, default=1.0, help="Temperature of the sampling.")
    add_answer_tokens_argument(parser)
    parser.add_argument("--judge", help="URL#MODEL of an OpenAI-compatible endpoint that compares answers.")
    parser.add_argument(
        "--by",
        choices=("facts", "judge"),
        default="facts",
        help="facts: by counted facts if the record has any, or else by the judge. judge: always by the judge.",
    )
    parser.add_argument("--margin", type=float, default=0.1, help="Least difference of the two by counted facts.")
    what = "How many covered facts one invention costs."
    parser.add_argument("--invention-weight", type=float, default=1.0, help=what)
    parser.add_argument(
        "--agreement-margin",
        type=float,
        help="By counted facts: how much more the record's other answers have to agree with the better answer than "
        "with the worse one (mean ROUGE-1), which may else be better by luck. Without it agreement does not count.",
    )
    parser.add_argument(
        "--judge-margin", type=float, default=1.0, help="Least difference of the two in the judge's grades of 1 to 7."
    )
    parser.add_argument(
        "--length-ratio", type=float, default=1.5, help="How many times as long as the other one may be."
    )
    parser.add_argument(
        "--balance-lengths",
        action="store_true",
        help="Leave out pairs until chosen answers are as long as rejected ones on average.",
    )
    add_option(parser, "--batch-size", "--batch", type=int, default=8, help="Records answered at once.")
    what = "Processes that prepare batches, so that a GPU need not wait for audio."
    add_option(parser, "--dataloader-num-workers", "--workers", type=int, default=0, help=what)
    parser.add_argument("--max-words", type=int, default=0, help="Leave out records of more spoken words. 0 keeps all.")
    vllm_rollout.add_arguments(parser)
    vllm_rollout.add_rollout_copy_argument(parser)
    check.add_bad_data_arguments(parser)
    parser.add_argument("--seed", type=int, default=0)


def run(options: argparse.Namespace) -> int:
    """Run the `pairs` command."""
    if options.by == "judge" and not options.judge:
        raise ValueError("--by judge needs --judge URL#MODEL")
    judge = open_judge(options.judge) if options.judge else None
    if judge:
        judge.verdicts = VerdictCache(options.out.with_suffix(VERDICTS_SUFFIX))
    always_judge, weight = options.by == "judge", options.invention_weight
    choice = PairSelector(
        options.margin,
        options.length_ratio,
        judge,
        options.judge_margin,
        always_judge,
        weight,
        options.balance_lengths,
        options.agreement_margin,
    )
    records = check.read_training_records(options)
    pairs, report = (
        pairs_of_given_answers(options, records, choice)
        if options.answers
        else pairs_of_sampled_answers(options, records, choice)
    )
    if not pairs:
        hint = "; records without facts need --judge" if report["dropped"].get(NO_FACTS) else ""
        raise ValueError(f"no pair was found: {report['dropped']}{hint}")
    settings = ("margin", "invention_weight", "agreement_margin", "judge_margin", "balance_lengths")
    report |= {name: getattr(options, name) for name in settings} | {"length_ratio_limit": options.length_ratio}
    if judge and judge.failures:
        report["judge_failed"] = judge.failures[:MAX_PROBLEMS_SHOWN]
    write_records(options.out, pairs)
    options.out.with_suffix(REPORT_SUFFIX).write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report))
    return 0


def pairs_of_given_answers(
    options: argparse.Namespace, records: list[Record], choice: PairSelector
) -> tuple[list[Record], dict[str, Any]]:
    """Return pairs of the answers in the file of `--answers`, and the report."""
    checked = check.check_records(
        records, [], options.bad_data, answers=(), audio=False, required_fields=REQUIRED_FIELDS
    )
    groups = answer_groups(options.answers, checked.records, options.batch_size)
    found, report = make_pairs(groups, len(checked.records), choice)
    return found, report | {"answers": str(options.answers), "data": checked.log_entry()}


def pairs_of_sampled_answers(
    options: argparse.Namespace, records: list[Record], choice: PairSelector
) -> tuple[list[Record], dict[str, Any]]:
    """Sample answers from the checkpoint, and return pairs of them and the report."""
    if options.base is None:
        raise ValueError("either --base is needed, to sample answers from, or --answers, to read them from")
    model = open_student(
        options.base,
        lora_rank=options.lora_rank,
        encoder_rank=options.encoder_rank,
        full_finetuning=options.full_finetuning,
        start_adapters=options.start,
        seed=options.seed,
    )
    if torch.cuda.is_available():
        model.to("cuda")
    collator = build_collator(options.base, model)
    checked = check.check_records(
        records,
        [collator],
        options.bad_data,
        answers=(),
        required_fields=REQUIRED_FIELDS,
        require_speech=options.check_speech,
    )
    where = options.rollout, options.rollout_folder, precision.uses_bfloat16(PRECISION)
    writer = make_rollout(
        collator,
        options.temperature,
        *where,
        max_answer_tokens=options.max_completion_length,
        use_merged_copy=options.rollout_copy,
    )
    file = options.out.with_suffix(".answers.jsonl")
    groups = sample_answers(
        model,
        writer,
        collator,
        checked.records,
        options.num_generations,
        options.batch_size,
        file,
        options.dataloader_num_workers,
    )
    with precision.autocast(PRECISION, model.device):
        found, report = make_pairs(groups, len(checked.records), choice)
    sampling = {
        "samples": options.num_generations,
        "temperature": options.temperature,
        "answer_tokens": options.max_completion_length,
        "seed": options.seed,
    }
    return found, report | sampling | {"data": checked.log_entry()}
