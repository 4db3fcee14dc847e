"""Supervised fine-tuning: TRL's `SFTTrainer` with this project's collators, for audio models and their text twins.

    speechsum-train sft --base audioflamingo3 --data var/data/train.jsonl --out var/runs/sft [--start FILE …]
    speechsum-train sft --base llama --data var/data/text.jsonl --out var/runs/twin

The encoder is frozen, the projector is trained whole, and every projection of the language model gets LoRA. The loss
counts the tokens of the answer only (arXiv 2509.19631, stage one, with a synthetic corpus whose facts are known). The
records of a batch have similar lengths. Every `--audio-gain-steps` steps the *audio gain* is measured: the loss with
the audio of another clip minus the loss with the clip's own. If it stays at zero, the model has only learned how
summaries sound, however far the loss falls.

With `--encoder-rank N` (`align` uses 64) the encoder is trained too, by LoRA. Then `--base` is the untrained model and
`--start` includes the adapter that `align` wrote. `--freeze-encoder` keeps the encoder's LoRA weights as an earlier run
left them.

With `--feature-cache FOLDER` the output of the frozen encoder is computed once for each clip and stored. Without it,
audio is decoded, turned into mel windows and encoded for every batch. Under `accelerate launch`
(training/configs/accelerate) each process trains on its part of every batch, and the loss is a mean over the tokens of
all of them. Each process computes features that are missing itself.

With `--share-prefix` a text model reads each transcript once for all requests about it
(`training.models.shared_prefix`).

A model that was trained on correct summaries alone has never had to continue after a wrong word. A teacher has to,
because it reads what its student wrote. With `--answers FILE` (written by `pairs`) each record is used once more for
each of its answers in the file: the model learns to continue from the answer to the summary
(`training.models.recovery_labels`).
"""

import argparse
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from training.data.answer_files import read_answers
from training.data.record import Record
from training.models.collate import AudioCollator, Collator, build_collator
from training.models.shared_prefix import SharedPrefixCollator, accept_branches, group_by_material
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
from training.recipes.config import FinetuneConfig, TrainConfig, add_config_arguments
from training.recipes.resumable_trainer import ResumableTrainerMixin
from training.runtime import distributed


class SummaryTrainer(ResumableTrainerMixin, SFTTrainer):
    """TRL's trainer, with checkpoints that hold all that is trained."""


def train(
    base: Path, records: list[Record], out: Path, config: TrainConfig, log_header: dict[str, Any] | None = None
) -> Path:
    """Train the base checkpoint on the records, write the adapter into the folder `out`, and return the adapter's file.

    log_header: entries for the first line of the log, beside those about the data.

    Raises UnusableRecord if the data cannot be used, and ValueError if the configuration cannot be used.
    """
    model = open_configured_student(base, config)
    plain = build_collator(base, model)
    records, config, data = check_training_data(config, records, [plain])
    collator = training_collator(config, model, plain, records)
    callbacks = build_callbacks(config, model, collator, records, out)
    if isinstance(config, FinetuneConfig) and config.share_prefix and collator.takes_audio:
        raise ValueError("--share-prefix works with text models only, and this one takes audio")
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
    shares_prefix = isinstance(config, FinetuneConfig) and config.share_prefix
    if shares_prefix:
        accept_branches(model)
    trainer = SummaryTrainer(
        model=model,
        args=SFTConfig(
            **config.training_arguments(out),
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
        ),
        train_dataset=(
            _shared_prefix_dataset(records, config.seed)
            if shares_prefix
            else json_dataset(records_in_training_order(records, config))
        ),
        data_collator=SharedPrefixCollator(collator) if shares_prefix else collator,
        processing_class=collator.processor if isinstance(collator, AudioCollator) else collator.tokenizer,
        callbacks=callbacks,
    )
    skip_backbone_logits(model)
    score_answers_only(model)
    keep_row_order(trainer)
    return trainer


def _shared_prefix_dataset(records: list[Record], seed: int) -> Dataset:
    """Return the rows that `SharedPrefixCollator` takes, in random order."""
    groups = group_by_material(records)
    random.Random(seed).shuffle(groups)
    distributed.print_once(f"{len(records)} records of {len(groups)} transcripts or notes")
    return Dataset.from_list([{"records": [record.to_json() for record in group]} for group in groups])


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
    """Add the recipe's options."""
    parser.add_argument("--base", type=Path, required=True, help="Assembled checkpoint to start from.")
    common.add_arguments(parser, max_steps=500, learning_rate=5e-4)
    add_config_arguments(parser, FinetuneConfig)
    parser.add_argument(
        "--answers",
        type=Path,
        help="Answers of a student, in a file of `pairs`. The summaries are also learned as continuations of them.",
    )


def run(options: argparse.Namespace) -> int:
    """Run the `sft` command."""
    records, how = records_and_config(options, FinetuneConfig)
    if options.answers:
        records = add_recovery_records(records, options.answers)
    distributed.print_once(str(train(options.base, records, options.out, how)))
    return 0
