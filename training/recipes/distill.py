"""On-policy knowledge distillation: the student hears a recording and writes, the teacher reads the transcript and
gives its distribution at each token that the student wrote.

    speechsum-train distill --base var/aligned --start var/runs/sft/adapter.safetensors --teacher var/reader \\
        --data var/data/speech/records.jsonl --out var/runs/distill

Stage two of arXiv 2509.19631. At every step the student samples answers to recordings. The teacher gets the true
transcript and the same query, and gives its distribution at each token of the answer; the student's distribution is
moved towards it (`--beta` 0 is forward KL on the student's own prefixes, as in the paper; 1 is reverse KL). No gradient
goes through the sampling, and no reference summary is read. What is trained is what `sft` trains: projector and LoRA.

Two options are for students that still make many mistakes. With `--off-policy-share` that share of the steps is not
sampled: the teacher reads the records' own summaries (1 - lambda of arXiv 2306.13649). With `--loop-tokens N` an answer
counts only up to where it repeats N of its tokens, because a teacher that reads a loop expects the loop to continue,
and would teach that.

The teacher is a text model in this process, or with `--teacher-url` the same model behind a vLLM server. Of a server
the `--top-k` most likely tokens are known, and all others are one bucket. The student samples in this process, or with
`--rollout` behind a vLLM server (`speechsum-train serve`) that gets its weights every `--sync-every` steps.

A teacher that was trained less than its student pulls the student back. If no stronger one exists, use the text twin,
trained further on transcripts from the student's own language model (`sft --start` with the student's adapter) and also
on continuations of the student's answers (`sft --answers`): a teacher that has read correct summaries alone may mislead
the student.

Teacher and student need the same ordinary tokens. Special tokens may differ, as in Qwen2.5, Qwen2-Audio and
Qwen2.5-Omni: the student does not sample such ids, and their probability is removed from both distributions. If
ordinary tokens differ, the distributions cannot be compared. Then the teacher's texts become the summaries, and `sft`
learns them (sequence-level distillation); the first line of the log says so and why. With `--teacher-url` the server
does either, and only the tokenizer of `--teacher` is opened here.

Sampling takes most of the time if the model is small: one token after another, each too little work for a GPU.
`--steps-per-rollout N` answers the recordings of N steps at once, `--rollout-copy` samples with merged weights.

Each line of the log has the divergence, the tokens of an answer, the share of answers that met their limit, and the
repetition. The last two show the known ways in which this method fails. With `--rollout` it also has the mean distance
between the log-probabilities at which tokens were sampled and those of the student that learns from them
(`off_policy`). `step_seconds`, `rollout_seconds` and `teacher_seconds` say where the time goes. `--feature-cache` works
as in `sft`. Under `accelerate launch` (training/configs/accelerate) each process samples its part of every batch from
the model as it is sharded, all at the same time, and holds the whole teacher; the log has means over all of them.
Limits: with a teacher of other tokens, each of several processes writes all its texts; `--rollout` works with one
process only.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, TrainingArguments

from training.data.record import Record
from training.data.record_files import write_records
from training.families import Family, family_of_folder
from training.kd import vllm_rollout
from training.kd.shared_tokens import SharedTokens, forbidden_ids, shared_tokens, token_difference
from training.kd.teacher import (
    LocalTeacher,
    LocalTeacherWriter,
    ServedTeacherWriter,
    Teacher,
    TeacherWriter,
    VllmTeacher,
    open_teacher,
)
from training.kd.vllm_rollout import VllmRollout, WeightSyncCallback, make_rollout
from training.models import precision
from training.models.collate import TextCollator, build_collator
from training.recipes import common, sft
from training.recipes.callbacks import build_callbacks
from training.recipes.common import (
    check_training_data,
    keep_row_order,
    open_configured_student,
    records_and_config,
    records_in_training_order,
    train_and_save,
    training_collator,
)
from training.recipes.config import DistillConfig, add_config_arguments
from training.recipes.distill_trainer import DistillTrainer
from training.runtime import distributed
from training.runtime.distributed import print_once


def train(base: Path, records: list[Record], out: Path, config: DistillConfig) -> Path:
    """Distill the teacher into the base checkpoint, write the adapter into the folder `out`, and return its file.

    Raises ValueError for a teacher or a configuration that cannot be used, and UnusableRecord for such data.
    """
    reader = Family().set_end_token(AutoTokenizer.from_pretrained(config.teacher))
    reads = TextCollator(reader)
    if difference := token_difference(family_of_folder(base).tokenizer(base), reader):
        return _train_on_teacher_texts(base, records, out, config, reads, difference)
    model = open_configured_student(base, config)
    plain = build_collator(base, model)
    answers = ("summary",) if config.off_policy_share else ()
    records, config, data = check_training_data(config, records, [plain, reads], answers=answers)
    collator = training_collator(config, model, plain, records)
    shared = shared_tokens(collator.tokenizer, reader)
    if shared.excluded_ids:
        ids = list(shared.excluded_ids)
        print_once(f"{len(ids)} special tokens differ between student and teacher and do not count: ids {ids}")
    # Opened before TrainingArguments are made: once they say that parameters are sharded, so would be the teacher's.
    teacher = _open_configured_teacher(config, reads, shared)
    if config.gradient_checkpointing:
        model.enable_input_require_grads()  # TRL's trainers do the same for the other recipes
    if config.rollout and distributed.world_size() > 1:
        raise ValueError(
            "--rollout sends a server the weights of one process; without it, each of several processes samples itself"
        )
    rollout = make_rollout(
        collator,
        config.temperature,
        config.rollout,
        config.rollout_folder,
        precision.uses_bfloat16(config.precision),
        all_processes=True,
        max_answer_tokens=config.max_completion_length,
        use_merged_copy=config.rollout_copy,
        forbidden_ids=forbidden_ids(collator.placeholder_ids, shared),
    )
    sync = [WeightSyncCallback(rollout, model, config.sync_every)] if isinstance(rollout, VllmRollout) else []
    trainer = DistillTrainer(
        model,
        TrainingArguments(**config.training_arguments(out)),
        train_dataset=records_in_training_order(records, config),
        callbacks=[*build_callbacks(config, model, collator, records, out), *sync],
        collator=collator,
        rollout=rollout,
        teacher=teacher,
        vocabulary=shared.size,
        excluded_ids=shared.excluded_ids,
        beta=config.beta,
        off_policy_share=config.off_policy_share,
        loop_tokens=config.loop_tokens,
        steps_per_rollout=config.steps_per_rollout,
    )
    keep_row_order(trainer)
    torch.manual_seed(config.seed + distributed.rank())  # each process draws other answers
    return train_and_save(trainer, model, out, config, _log_header(config, shared) | data)


def _train_on_teacher_texts(
    base: Path, records: list[Record], out: Path, config: DistillConfig, reads: TextCollator, difference: str
) -> Path:
    """Train by `sft` on the teacher's own summaries, because the token ids of student and teacher differ."""
    print_once(f"sequence-level: {difference}")
    records, config, _ = check_training_data(config, records, [reads], answers=(), audio=True)
    writer: TeacherWriter
    if config.teacher_url:
        writer = ServedTeacherWriter.connect(config.teacher_url)
    else:
        writer = LocalTeacherWriter(open_teacher(config.teacher, _teacher_dtype(config)), reads)
    with_summaries = teacher_summaries(writer, records, config.per_device_train_batch_size)
    if distributed.is_main_process():
        write_records(out / "told.jsonl", with_summaries)
    header = {"level": "sequence", "why": difference, "teacher": config.teacher_url or str(config.teacher)}
    return sft.train(base, with_summaries, out, config, header)


def _open_configured_teacher(config: DistillConfig, reads: TextCollator, shared: SharedTokens) -> Teacher:
    if config.teacher_url:
        return VllmTeacher.connect(config.teacher_url, reads, shared.size, config.top_k, shared.excluded_ids)
    return LocalTeacher(open_teacher(config.teacher, _teacher_dtype(config)), reads, shared.size, shared.excluded_ids)


def _teacher_dtype(config: DistillConfig) -> torch.dtype:
    on_gpu = precision.uses_bfloat16(config.precision) and torch.cuda.is_available()
    return torch.bfloat16 if on_gpu else torch.float32


def _log_header(config: DistillConfig, shared: SharedTokens) -> dict[str, Any]:
    header: dict[str, Any] = {
        "level": "tokens",
        "teacher": config.teacher_url or str(config.teacher),
        "beta": config.beta,
        "temperature": config.temperature,
        "off_policy_share": config.off_policy_share,
        "loop_tokens": config.loop_tokens,
        "answer_tokens": config.max_completion_length,
    }
    if config.steps_per_rollout > 1:
        header |= {"steps_per_rollout": config.steps_per_rollout}
    if shared.excluded_ids:
        header |= {"excluded_tokens": list(shared.excluded_ids)}
    if config.rollout:
        header |= {"rollout": config.rollout, "sync_every": config.sync_every}
    return header


def teacher_summaries(writer: TeacherWriter, records: list[Record], batch: int) -> list[Record]:
    """Return the records with the teacher's own summaries, decoded greedily, `batch` records at a time.

    Records whose summary is empty or has no end are left out; a printed line counts them. Raises ValueError if no
    record is left.
    """
    out = []
    for first in range(0, len(records), batch):
        group = records[first : first + batch]
        for record, (text, ended) in zip(group, writer.write(group), strict=True):
            if ended and text:
                out.append(replace(record, summary=text))
    print_once(f"the teacher wrote {len(out)} summaries; {len(records) - len(out)} were empty or had no end")
    if not out:
        raise ValueError("the teacher wrote no summary that could be learned from")
    return out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe's options."""
    parser.add_argument("--base", type=Path, required=True, help="Assembled audio checkpoint to start from.")
    common.add_arguments(parser, max_steps=300, learning_rate=1e-4, logging_steps=1)
    add_config_arguments(parser, DistillConfig)
    vllm_rollout.add_arguments(parser)
    vllm_rollout.add_rollout_copy_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the `distill` command."""
    records, config = records_and_config(options, DistillConfig)
    print_once(str(train(options.base, records, options.out, config)))
    return 0
