"""Supervised fine-tuning: TRL's `SFTTrainer` with our own collators, for the model that hears and its text twin.

    speechsum-train sft --base audioflamingo3 --data var/data/train.jsonl --out var/runs/sft [--start FILE …]
    speechsum-train sft --base llama --data var/data/text.jsonl --out var/runs/twin

What it does: encoder frozen, projector whole, LoRA on every projection of the language model; the loss is on the
answer only (arXiv 2509.19631, stage one, with a synthetic corpus whose facts are known). Batches hold records of like
length. Every `--gain-every` steps the *audio gain* is measured: the loss with another clip's audio minus the loss with
its own. If it stays at zero the model has only learned how summaries sound, however well the loss falls.

With `--encoder-rank N` (64 is what `align` has) the encoder learns on too, by LoRA: then `--base` is the untrained
model, and what `align` left one of `--start`. `--freeze-encoder` leaves it as a run before has made it.

With `--features FOLDER` the frozen encoder's output is worked out once a clip and kept there; without it, audio is
decoded, made into mel windows and encoded for every batch. Under `accelerate launch` (training/configs/accelerate)
every process takes its part of each batch, and the loss is a mean over all their tokens; features that are missing
each of them works out by itself.

A model taught by right summaries alone has never had to go on after a wrong word, as a teacher must that reads what its
student wrote. With `--answers FILE` (of `pairs`) each record stands in the data once more for each of its answers
there, after whose words its summary is learned (`training.models.recovery_labels`).
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from training.data.check import check_training_data
from training.data.record import Record
from training.models.collate import AudioCollator, Collator
from training.models.trl_patches import score_answers_only, skip_backbone_logits
from training.recipes import common
from training.recipes.common import (
    ResumableTrainerMixin,
    TrainConfig,
    build_collator,
    keep_row_order,
    length_grouped_dataset,
    records_and_config,
    train_and_save,
)
from training.recipes.pairs import read_answers
from training.runtime import distributed


class SummaryTrainer(ResumableTrainerMixin, SFTTrainer):
    """TRL's trainer as it is, but for what its checkpoints hold."""


def train(
    base: Path, records: list[Record], out: Path, config: TrainConfig, log_header: dict[str, Any] | None = None
) -> Path:
    """Train and write the adapter; returns its file. head: the log's first line, if it needs one."""
    model = config.open_student(base)
    plain = build_collator(base, model)
    records, config, data = check_training_data(config, records, [plain])
    collator = config.training_collator(model, plain, records)
    trainer = make_trainer(model, collator, records, out, config, config.build_callbacks(model, collator, records, out))
    return train_and_save(trainer, model, out, config, (log_header or {}) | data)


def make_trainer(
    model: Any,
    collator: Collator,
    records: list[Record],
    out: Path,
    config: TrainConfig,
    callbacks: list[TrainerCallback],
) -> SummaryTrainer:
    """TRL's trainer over the records, as this recipe sets it up."""
    trainer = SummaryTrainer(
        model=model,
        args=SFTConfig(
            **config.training_arguments(out),
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
        ),
        train_dataset=length_grouped_dataset(records, config.batch * distributed.world_size(), config.seed),
        data_collator=collator,
        processing_class=collator.processor if isinstance(collator, AudioCollator) else collator.tokenizer,
        callbacks=callbacks,
    )
    skip_backbone_logits(model)
    score_answers_only(model)
    keep_row_order(trainer)
    return trainer


def add_recovery_records(records: list[Record], file: Path) -> list[Record]:
    """The records, and each once more for each answer that the file has to it. Raises ValueError if it has none."""
    answers = read_answers(file)
    found = [replace(r, written=text) for r in records for text, _ in answers.get(r.id, []) if text]
    if not found:
        raise ValueError(f"{file} has no answer to any of the {len(records)} records")
    distributed.print_once(f"{len(found)} answers to go on after")
    return [*records, *found]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The recipe's options."""
    parser.add_argument("--base", type=Path, required=True, help="assembled checkpoint to start from")
    common.add_arguments(parser, steps=500, learning_rate=5e-4)
    parser.add_argument(
        "--answers",
        type=Path,
        help="of a student, kept beside `pairs`: the summaries are learned after its words too",
    )


def run(options: argparse.Namespace) -> int:
    """The `sft` command."""
    records, how = records_and_config(options)
    if options.answers:
        records = add_recovery_records(records, options.answers)
    distributed.print_once(str(train(options.base, records, options.out, how)))
    return 0
