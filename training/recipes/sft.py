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

from training.data.answer_files import read_answers
from training.data.record import Record
from training.models.collate import AudioCollator, Collator, build_collator
from training.models.trl_patches import score_answers_only, skip_backbone_logits
from training.recipes import common
from training.recipes.callbacks import build_callbacks
from training.recipes.common import (
    check_training_data,
    json_dataset,
    keep_row_order,
    open_configured_student,
    records_and_config,
    records_in_training_order,
    train_and_save,
    training_collator,
)
from training.recipes.config import TrainConfig
from training.recipes.resumable_trainer import ResumableTrainerMixin
from training.runtime import distributed


class SummaryTrainer(ResumableTrainerMixin, SFTTrainer):
    """TRL's trainer, with checkpoints that hold all that is trained."""


def train(
    base: Path, records: list[Record], out: Path, config: TrainConfig, log_header: dict[str, Any] | None = None
) -> Path:
    """Train the base checkpoint on the records, write the adapter into the folder `out`, and return the adapter's file.

    log_header: what the first line of the log holds beside what is said of the data.

    Raises UnusableRecord for data that cannot be used, and ValueError for a configuration that cannot.
    """
    model = open_configured_student(base, config)
    plain = build_collator(base, model)
    records, config, data = check_training_data(config, records, [plain])
    collator = training_collator(config, model, plain, records)
    callbacks = build_callbacks(config, model, collator, records, out)
    trainer = make_trainer(model, collator, records, out, config, callbacks)
    return train_and_save(trainer, model, out, config, (log_header or {}) | data)


def make_trainer(
    model: Any,
    collator: Collator,
    records: list[Record],
    out: Path,
    config: TrainConfig,
    callbacks: list[TrainerCallback],
) -> SummaryTrainer:
    """Return TRL's trainer for the records, as this recipe uses it."""
    trainer = SummaryTrainer(
        model=model,
        args=SFTConfig(
            **config.training_arguments(out),
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
        ),
        train_dataset=json_dataset(records_in_training_order(records, config)),
        data_collator=collator,
        processing_class=collator.processor if isinstance(collator, AudioCollator) else collator.tokenizer,
        callbacks=callbacks,
    )
    skip_backbone_logits(model)
    score_answers_only(model)
    keep_row_order(trainer)
    return trainer


def add_recovery_records(records: list[Record], file: Path) -> list[Record]:
    """Return the records, and after them each record once more for each answer to it in the file, with the answer as
    its `written`. Raises ValueError if the file has no answer to any of the records.
    """
    answers = read_answers(file)
    found = [replace(r, written=text) for r in records for text, _ in answers.get(r.id, []) if text]
    if not found:
        raise ValueError(f"{file} has no answer to any of the {len(records)} records")
    distributed.print_once(f"{len(found)} answers to continue from")
    return [*records, *found]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The recipe's options."""
    parser.add_argument("--base", type=Path, required=True, help="assembled checkpoint to start from")
    common.add_arguments(parser, max_steps=500, learning_rate=5e-4)
    parser.add_argument(
        "--answers",
        type=Path,
        help="of a student, kept beside `pairs`: the summaries are learned after its words too",
    )


def run(options: argparse.Namespace) -> int:
    """The `sft` command."""
    records, how = records_and_config(options, TrainConfig)
    if options.answers:
        records = add_recovery_records(records, options.answers)
    distributed.print_once(str(train(options.base, records, options.out, how)))
    return 0
