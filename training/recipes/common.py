"""What the recipes share: the model that learns, checked data, batches of similar length, the end of a run.

Knows nothing about losses.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from training.data import check
from training.data.record import Record
from training.data.record_files import read_records
from training.data.splits import require_disjoint_splits
from training.models import precision
from training.models.checkpoint import adapter_tensors, save_adapter
from training.models.collate import Collator
from training.models.feature_cache import cache_features
from training.models.student import open_student
from training.recipes.callbacks import AudioGainCallback
from training.recipes.config import Config, TrainConfig, add_config_arguments, config_from_options
from training.runtime import distributed, run_record, trackers
from training.runtime.distributed import print_once
from training.runtime.option_names import add_option
from training.runtime.resume import newest_whole_checkpoint
from training.runtime.run_record import ADAPTER_FILE, LOG_FILE


def training_collator(config: TrainConfig, model: Any, plain: Collator, records: list[Record]) -> Collator:
    """Return the collator for the records and for those of `config.eval_dataset`: `plain`, or with a feature cache one
    that reads it. The model is then changed to take what that collator gives.
    """
    if config.feature_cache is None:
        return plain
    return cache_features(model, plain, [*records, *config.eval_dataset], config.feature_cache, config.precision)


def open_configured_student(base: Path, config: TrainConfig) -> Any:
    """Return the model that learns, as the configuration says. Raises ValueError as `open_student` does."""
    return open_student(
        base,
        lora_rank=config.lora_rank,
        encoder_rank=config.encoder_rank,
        freeze_encoder=config.freeze_encoder,
        full_finetuning=config.full_finetuning,
        start_adapters=config.start_adapters,
        precision=config.precision,
        torch_compile=config.torch_compile,
        keep_freed_memory=config.keep_freed_memory,
        seed=config.seed,
    )


def check_training_data(
    config: Config,
    records: Sequence[Record],
    collators: Sequence[Collator],
    *,
    eval_answers: Sequence[str] | None = None,
    **needed: Any,
) -> tuple[list[Record], Config, dict[str, Any]]:
    """Check the training records and those of `config.eval_dataset` before anything is trained.

    Args:
        collators: all collators that will read the records, with the limits of their models.
        eval_answers: fields that the evaluation records need as `answers`, if not those of the training records.
        needed: further arguments of `training.data.check.check_records`.

    Returns:
        The training records that can be used, the configuration with the evaluation records that can be used, and
        what the first line of the log says about the data.

    Raises:
        UnusableRecord: a record cannot be used and `config.bad_data` is "stop", or a recording is in two splits.
    """
    require_disjoint_splits([*records, *config.eval_dataset])
    needed = {"require_speech": config.check_speech} | needed
    found = check.check_records(records, collators, config.bad_data, **needed)
    if not config.eval_dataset:
        return found.records, config, {"data": found.log_entry()}
    if eval_answers is not None:
        needed["answers"] = eval_answers
    held_out = check.check_records(config.eval_dataset, collators, config.bad_data, **needed)
    entry = {"data": found.log_entry(), "held": held_out.log_entry()}
    return found.records, replace(config, eval_dataset=held_out.records), entry


def keep_row_order(trainer: Trainer) -> None:
    """Make the trainer take its rows in the order of its data set. `length_grouped_records` has put them into batches
    in random order, and the trainer's own sampler would mix them again.
    """
    trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(trainer.train_dataset)  # type: ignore


def train_and_save(
    trainer: Trainer, model: Any, out: Path, config: TrainConfig, log_header: dict[str, Any] | None = None
) -> Path:
    """Train, write the adapter and the log into the folder `out`, and return the adapter's file.

    log_header: first line of the log, if there is one. Raises ValueError if FSDP was asked for and cannot be used.
    """
    last = newest_whole_checkpoint(out) if config.resume_from_checkpoint else None
    distributed.barrier()  # the first process may be setting a broken checkpoint aside
    if config.resume_from_checkpoint:
        print_once(f"continuing from {last}" if last else "there is no checkpoint to continue from: starting at step 0")
    if distributed.uses_fsdp() and not trainer.is_fsdp_enabled:
        raise ValueError(
            "accelerate supports FSDP only for several processes with a GPU each: start a single process without the "
            "launcher, and on a CPU use ddp.yaml or zero2.yaml"
        )
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, AudioGainCallback):
            callback.trainer = trainer
    config.on_train_begin()
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    tensors = adapter_tensors(model)
    if distributed.is_main_process():
        save_adapter(tensors, out / ADAPTER_FILE)
        lines = [*([log_header] if log_header else []), *trainer.state.log_history]
        (out / LOG_FILE).write_text(json.dumps(lines, indent=1) + "\n")
    distributed.barrier()
    return out / ADAPTER_FILE


def length_grouped_records(records: Sequence[Record], batch: int, seed: int) -> list[Record]:
    """Return the records in the order in which they are trained on: any `batch` consecutive ones, counted from the
    first, have similar lengths, and these batches are in random order. `batch` counts the records of all processes
    together, so that none of them waits long for another.

    The records that fill no batch are drawn at random and come last: none is left out, and it is not always the
    longest ones that are trained on together.
    """
    draw = random.Random(seed)
    rows = draw.sample(records, len(records))
    whole = len(rows) // batch * batch
    order = sorted(rows[:whole], key=lambda r: (r.duration_s or r.words) * draw.uniform(0.9, 1.1))
    batches = [order[i : i + batch] for i in range(0, whole, batch)]
    draw.shuffle(batches)
    return [record for group in [*batches, rows[whole:]] for record in group]


def records_in_training_order(records: Sequence[Record], config: TrainConfig) -> list[Record]:
    """Return the records as `length_grouped_records` orders them for this configuration and these processes."""
    batch = config.per_device_train_batch_size * distributed.world_size()
    return length_grouped_records(records, batch, config.seed)


def json_dataset(records: Sequence[Record]) -> Any:
    """Return a `datasets.Dataset` with one column, `record`, of the records as JSON: TRL's trainers take nothing else.
    `Collator` turns the rows into records again.
    """
    from datasets import Dataset

    return Dataset.from_list([{"record": record.to_json()} for record in records])


def add_arguments(
    parser: argparse.ArgumentParser, max_steps: int, learning_rate: float, logging_steps: int = 10
) -> None:
    """Add the options that every recipe has. The numbers are the recipe's own defaults."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="JSONL or Parquet files of records.")
    what = "JSONL or Parquet files of records to measure the audio gain on."
    add_option(parser, "--eval-data", "--held", type=Path, nargs="*", default=[], help=what)
    parser.add_argument("--out", type=Path, required=True, help="Folder for the adapter, the log and the checkpoints.")
    defaults = {"max_steps": max_steps, "learning_rate": learning_rate, "logging_steps": logging_steps}
    defaults |= {"per_device_train_batch_size": 8, "lora_rank": 16, "audio_gain_steps": 50}
    add_config_arguments(parser, TrainConfig, **defaults)
    precision.add_precision_argument(parser)
    check.add_bad_data_arguments(parser)
    what = "Leave out records of more spoken words. 0 keeps all."
    parser.add_argument("--max-words", type=int, default=0, help=what)
    trackers.add_tracker_argument(parser)


def records_and_config(
    options: argparse.Namespace,
    config_class: type[Config],
) -> tuple[list[Record], Config]:
    """Return the records and the configuration that the options state. When training begins, the configuration writes
    `config.yaml` and `run.json` (`training.runtime.run_record`).
    """
    records = check.read_training_records(options)
    config = config_from_options(
        options,
        config_class,
        eval_dataset=read_records(*options.eval_data),
        on_train_begin=partial(run_record.write_run_record, options),
    )
    return records, config
