"""What the recipes share: their options, the model that learns, batches of like length, the end of a run.

Knows nothing about losses.
"""

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import Trainer, TrainerCallback

from training.data import check
from training.data.record import Record
from training.data.record_files import MAX_PROBLEMS_SHOWN, UnusableRecord, read_records, readable_records
from training.families import family_by_model_type
from training.models import precision
from training.models.checkpoint import (
    adapter_tensors,
    add_lora,
    load_adapter,
    model_type_of,
    open_model,
    save_adapter,
)
from training.models.collate import AudioCollator, Collator, TextCollator
from training.models.compile_layers import compile_layers
from training.models.feature_cache import cache_features
from training.models.full_finetuning import load_full_adapter, unfreeze_weights
from training.recipes.callbacks import AudioGainCallback, ReleaseMemoryCallback, SaveAdapterCallback, TimeLimitCallback
from training.runtime import allocator, distributed, run_record, trackers
from training.runtime.distributed import print_once
from training.runtime.resume import TRAINED_FILE, newest_whole_checkpoint

ADAPTER_FILE = "adapter.safetensors"


@dataclass(frozen=True)
class TrainConfig:
    """How a recipe goes through its records.

    steps: optimizer steps. batch: records a batch, of each process. accumulate: batches a step. rate: peak learning
    rate, cosine after a twentieth of the steps. rank: of the LoRA pairs. encoder_rank: of those on the encoder, which
    is else as the base has it; 0 is none. freeze_encoder: leave those as `start` has them. start: adapters to begin
    from, copied in order. held: records to measure the audio gain on; without them it is measured on some of those
    trained on, which flatters it. gain_every, save_every, log_every: steps between two measures (0 is never), two
    checkpoints, two log lines. workers: processes that make batches. precision: of `training.models.precision`.
    bad_data,
    check_speech: of `training.data.check`. features: folder of `training.models.feature_cache`; without one every batch
    is encoded.
    full: train every weight but the encoder's, no LoRA. gradient_checkpointing: keep no layer's activations, work them
    out again. keep_memory: of `training.runtime.allocator`. compile: of `training.models.compile_layers`. report_to: of
    `training.runtime.trackers`.
    resume: go on from the last checkpoint, if there is one. within: minutes that the whole command may take, after
    which it ends though there are steps left; the rate falls by the time instead of by the steps; 0 is no limit. begin:
    called when all is well and training begins.
    """

    steps: int
    batch: int
    rate: float
    rank: int
    start: list[Path] = field(default_factory=list)
    held: list[Record] = field(default_factory=list)
    accumulate: int = 1
    gain_every: int = 0
    save_every: int = 50
    log_every: int = 10
    seed: int = 0
    encoder_rank: int = 0
    freeze_encoder: bool = False
    workers: int = 0
    precision: str = "auto"
    features: Path | None = None
    bad_data: str = "stop"
    check_speech: bool = False
    full: bool = False
    gradient_checkpointing: bool = False
    keep_memory: bool = False
    compile: bool = False
    report_to: list[str] = field(default_factory=lambda: ["tensorboard"])
    resume: bool = False
    within: float = 0.0
    begin: Callable[[], None] = lambda: None

    def training_arguments(self, out: Path) -> dict[str, Any]:
        """Of Transformers' `TrainingArguments`, the same for every recipe."""
        sharded = distributed.uses_fsdp() or distributed.uses_deepspeed()
        return {
            "output_dir": str(out),
            "max_steps": self.steps,
            "per_device_train_batch_size": self.batch,
            "gradient_accumulation_steps": self.accumulate,
            "learning_rate": self.rate,
            "lr_scheduler_type": "constant" if self.within else "cosine",
            "warmup_steps": 0 if self.within else max(1, self.steps // 20),
            "logging_steps": self.log_every,
            "save_strategy": "steps",
            "save_steps": self.save_every,
            "save_total_limit": 1,
            "report_to": self.report_to,
            "remove_unused_columns": False,
            # On a CPU DeepSpeed is told its backend; accelerate would not start it for what is called CPU training.
            "use_cpu": not torch.cuda.is_available() and not sharded,
            "ddp_backend": "gloo" if sharded and distributed.is_launched() and not torch.cuda.is_available() else None,
            "gradient_checkpointing": self.gradient_checkpointing,
            # ZeRO-3 shows a layer's parameters empty when they are compared on the way back, as frozen ones are.
            "gradient_checkpointing_kwargs": {"use_reentrant": distributed.uses_zero3() and not self.full},
            "bf16": precision.uses_bfloat16(self.precision),
            "dataloader_num_workers": self.workers,
            "dataloader_pin_memory": torch.cuda.is_available(),
            "seed": self.seed,
        }

    def open_student(self, base: Path) -> Any:
        """The base with LoRA, or to be trained whole, as the adapters to begin from left it."""
        torch.manual_seed(self.seed)
        distributed.prepare_process()
        if self.keep_memory:
            allocator.keep_freed_memory()
        if self.full and self.encoder_rank:
            raise ValueError("--full trains no LoRA, so --encoder-rank has nothing to say there")
        if self.freeze_encoder and not self.encoder_rank:
            raise ValueError("--freeze-encoder leaves pairs as they are; --encoder-rank says which it has")
        model = open_model(base)
        model = (
            unfreeze_weights(model) if self.full else add_lora(model, self.rank, self.encoder_rank, self.freeze_encoder)
        )
        if not (
            distributed.uses_fsdp() or distributed.uses_deepspeed()
        ):  # which want weights in one type, and cast them themselves
            precision.cast_frozen_layers(model, self.precision)
        if distributed.uses_zero3():
            distributed.register_external_parameters(model)
        if self.compile:
            print_once(f"{compile_layers(model)} layers to be compiled")
        copied = [(load_full_adapter if self.full else load_adapter)(model, file) for file in self.start]
        print_once(f"started from {list(zip(map(str, self.start), copied, strict=True))}")
        return model

    def training_collator(self, model: Any, plain: Collator, records: list[Record]) -> Collator:
        """What makes batches of the records and of the held ones: `plain`, or with `features` what reads those, which
        the model is made to take.
        """
        return (
            cache_features(model, plain, [*records, *self.held], self.features, self.precision)
            if self.features
            else plain
        )

    def build_callbacks(
        self, model: Any, collator: Collator, records: list[Record], out: Path
    ) -> list[TrainerCallback]:
        """The adapter saved and memory given back on the way, and for a model that hears the audio gain."""
        found: list[TrainerCallback] = [SaveAdapterCallback(model, out / ADAPTER_FILE, self.save_every)]
        if self.keep_memory:
            found.append(ReleaseMemoryCallback())
        if self.within:
            found.append(TimeLimitCallback(60 * self.within))
        if self.gain_every and isinstance(collator, AudioCollator):
            known = [r for r in self.held or records if r.summary.strip() and not r.written]
            probe = random.Random(self.seed).sample(known, min(16, len(known)))
            if len(probe) < 2:
                print_once("no audio gain will be measured: it takes two records with a summary")
                return found
            found.append(AudioGainCallback(model, collator, probe, self.gain_every))
        return found


class ResumableTrainerMixin:
    """In front of a trainer: its checkpoints hold what is trained, all of it and in full precision.

    Transformers would keep PEFT's adapter and forget the projector, which is trained whole and is no adapter. With
    optimizer, schedule and random state, which Transformers does keep, the step after is the one that would have been.
    """

    model: Any
    args: Any

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """By all processes, of which the first writes."""
        trained = {name: distributed.full_parameter(p).contiguous() for name, p in self._trained_parameters().items()}
        if distributed.is_main_process():
            folder = Path(output_dir or self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            save_file(trained, folder / TRAINED_FILE)

    @torch.no_grad()
    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        file = Path(resume_from_checkpoint) / TRAINED_FILE
        found, trained = load_file(file), self._trained_parameters()
        if found.keys() != trained.keys():
            raise ValueError(f"{file} was written by a run that trained something else")
        for name, value in found.items():
            distributed.set_parameter(trained[name], value)

    def _trained_parameters(self) -> dict[str, Any]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: a checkpoint to go on from is nobody's model."""


def build_collator(base: Path, model: Any) -> Collator:
    """What makes batches for the base's family, of no more tokens than the model has positions for."""
    family, positions = (
        family_by_model_type(model_type_of(model)),
        model.config.get_text_config().max_position_embeddings,
    )
    if not family.takes_audio:
        return TextCollator(family.tokenizer(base), positions)
    processor = family.processor(base)
    return AudioCollator(processor, family.placeholder_id(processor), positions, family, base)


def keep_row_order(trainer: Trainer) -> None:
    """Make the trainer take its rows as they come: `length_grouped_dataset` has put them into batches, in random order,
    and a sampler would take these apart again.
    """
    trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(trainer.train_dataset)  # type: ignore


def train_and_save(
    trainer: Trainer, model: Any, out: Path, config: TrainConfig, log_header: dict[str, Any] | None = None
) -> Path:
    """Train, then write the adapter and the log (`head`, if given, is its first line); returns the adapter's file."""
    last = newest_whole_checkpoint(out) if config.resume else None
    distributed.barrier()  # until a broken one is set aside
    if config.resume:
        print_once(f"goes on from {last}" if last else "no checkpoint to go on from: starts at the beginning")
    if distributed.uses_fsdp() and not trainer.is_fsdp_enabled:
        raise ValueError(
            "FSDP was asked for, which accelerate has for several processes with a GPU each: "
            "for one process leave the launcher out, on a CPU take ddp.yaml or zero2.yaml"
        )
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, AudioGainCallback):
            callback.trainer = trainer
    config.begin()
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    tensors = adapter_tensors(model)
    if distributed.is_main_process():
        save_adapter(tensors, out / ADAPTER_FILE)
        lines = [*([log_header] if log_header else []), *trainer.state.log_history]
        (out / "log.json").write_text(json.dumps(lines, indent=1) + "\n")
    distributed.barrier()
    return out / ADAPTER_FILE


def length_grouped_dataset(records: list[Record], batch: int, seed: int) -> Any:
    """A dataset whose consecutive `batch` rows are of like length, the batches in random order. Several processes take
    theirs out of one such batch, so that none waits long for another.

    Records that fill no batch, drawn at random, come last: none is left out, and it is not always the longest.
    """
    from datasets import Dataset

    draw = random.Random(seed)
    rows = draw.sample(records, len(records))
    whole = len(rows) // batch * batch
    order = sorted(rows[:whole], key=lambda r: (r.duration_s or r.words) * draw.uniform(0.9, 1.1))
    batches = [order[i : i + batch] for i in range(0, whole, batch)]
    draw.shuffle(batches)
    return Dataset.from_list([{"record": record.to_json()} for group in [*batches, rows[whole:]] for record in group])


def add_arguments(parser: argparse.ArgumentParser, steps: int, learning_rate: float, log_every: int = 10) -> None:
    """The options that every recipe has; `steps`, `rate` and `log_every` are its defaults."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="JSONL or Parquet files")
    parser.add_argument("--held", type=Path, nargs="*", default=[], help="JSONL files to measure the audio gain on")
    parser.add_argument("--out", type=Path, required=True, help="folder for the adapter and the log")
    parser.add_argument("--start", type=Path, nargs="*", default=[], help="adapters to begin from, in order")
    parser.add_argument("--steps", type=int, default=steps, help="optimizer steps")
    parser.add_argument(
        "--within", type=float, default=0.0, help="minutes the command may take: it ends then, steps left or not"
    )
    parser.add_argument("--batch", type=int, default=8, help="records a batch, of each process")
    parser.add_argument("--accumulate", type=int, default=1, help="batches a step; small batches suit a CPU's cache")
    parser.add_argument("--rate", type=float, default=learning_rate, help="peak learning rate")
    parser.add_argument("--rank", type=int, default=16, help="rank of the LoRA pairs (alpha is twice that)")
    add_encoder_rank_argument(parser)
    parser.add_argument("--freeze-encoder", action="store_true", help="leave the encoder's pairs as --start has them")
    parser.add_argument(
        "--gain-every", type=int, default=50, help="steps between two measures of the audio gain; 0 is never"
    )
    parser.add_argument(
        "--save-every", type=int, default=50, help="steps between two checkpoints, and writes of the adapter"
    )
    parser.add_argument("--log-every", type=int, default=log_every, help="steps between two log lines")
    precision.add_precision_argument(parser)
    parser.add_argument("--features", type=Path, help="folder to keep the encoder's output in: worked out once a clip")
    check.add_bad_data_arguments(parser)
    parser.add_argument("--full", action="store_true", help="train every weight but the encoder's, instead of LoRA")
    parser.add_argument(
        "--gradient-checkpointing", action="store_true", help="less memory for more time: activations are made twice"
    )
    parser.add_argument(
        "--keep-memory", action="store_true", help="on a CPU: quicker steps, up to half of the machine's memory"
    )
    parser.add_argument("--compile", action="store_true", help="quicker steps after a minute of compiling")
    trackers.add_tracker_argument(parser)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in OUT, if there is one")
    parser.add_argument("--max-words", type=int, default=0, help="leave out records of more spoken words; 0 keeps all")
    add_workers_argument(parser)
    parser.add_argument("--seed", type=int, default=0)


def add_workers_argument(parser: argparse.ArgumentParser) -> None:
    """The option, of commands that read audio for a GPU."""
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that make batches, so that a GPU need not wait for audio"
    )


def add_encoder_rank_argument(parser: argparse.ArgumentParser) -> None:
    """The option, of commands that open a student."""
    parser.add_argument(
        "--encoder-rank", type=int, default=0, help="of pairs on the encoder, which then learns too; 0 is none"
    )


def read_training_records(options: argparse.Namespace) -> list[Record]:
    """The records of `--data`, without those of more than `--max-words`."""
    if getattr(options, "bad_data", check.STOP) == check.DROP:
        read, problems = readable_records(*options.data)
        if problems:
            print_once("left out:\n" + "\n".join(problems[:MAX_PROBLEMS_SHOWN]))
            print_once(f"{len(problems)} problems in {len(options.data)} files")
        if not read:
            raise UnusableRecord(f"no record can be read in {', '.join(map(str, options.data))}", "not a record")
    else:
        read = read_records(*options.data)
    records = [r for r in read if not options.max_words or r.words <= options.max_words]
    print_once(f"{len(records)} records")
    return records


def records_and_config(options: argparse.Namespace) -> tuple[list[Record], TrainConfig]:
    """The records and the loop that the options name, which writes what they were when training begins."""
    records = read_training_records(options)
    given = {f.name: getattr(options, f.name) for f in fields(TrainConfig) if f.name not in ("held", "begin")}
    return records, TrainConfig(
        **given, held=read_records(*options.held), begin=partial(run_record.write_run_record, options)
    )
