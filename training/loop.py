"""What the recipes share: their options, the model that learns, batches of like length, the adapter saved on the way,
the audio gain.

Knows nothing about losses.
"""

import argparse
import json
import random
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, AutoTokenizer, Trainer, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint

from training.checkpoint import adapter_tensors, add_lora, architecture_of, load_adapter, open_model, save_adapter
from training.corpus.record import Record
from training.examples import AudioCollator, Collator, TextCollator, read_records, with_other_audio

ADAPTER = "adapter.safetensors"
TRAINED = "trained.safetensors"


@dataclass(frozen=True)
class Loop:
    """How a recipe goes through its records.

    steps: optimizer steps. batch: records a batch. accumulate: batches a step. rate: peak learning rate, cosine after a
    twentieth of the steps. rank: of the LoRA pairs. start: adapters to begin from, copied in order. held: records to
    measure the audio gain on; without them it is measured on some of those trained on, which flatters it. gain_every,
    save_every, log_every: steps between two measures (0 is never), two checkpoints, two log lines. workers: processes
    that make batches. resume: go on from the last checkpoint, if there is one.
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
    workers: int = 0
    resume: bool = False

    def arguments(self, out: Path) -> dict[str, Any]:
        """Of Transformers' `TrainingArguments`, the same for every recipe."""
        return {
            "output_dir": str(out),
            "max_steps": self.steps,
            "per_device_train_batch_size": self.batch,
            "gradient_accumulation_steps": self.accumulate,
            "learning_rate": self.rate,
            "lr_scheduler_type": "cosine",
            "warmup_steps": max(1, self.steps // 20),
            "logging_steps": self.log_every,
            "save_strategy": "steps",
            "save_steps": self.save_every,
            "save_total_limit": 1,
            "report_to": ["tensorboard"],
            "remove_unused_columns": False,
            "use_cpu": not torch.cuda.is_available(),
            "bf16": torch.cuda.is_available(),
            "dataloader_num_workers": self.workers,
            "dataloader_pin_memory": torch.cuda.is_available(),
            "seed": self.seed,
        }

    def student(self, base: Path) -> Any:
        """The base with LoRA, as the adapters to begin from left it."""
        torch.manual_seed(self.seed)
        model = add_lora(open_model(base), self.rank)
        copied = [load_adapter(model, file) for file in self.start]
        print(f"started from {list(zip(map(str, self.start), copied, strict=True))}", flush=True)
        return model

    def callbacks(self, model: Any, collator: Collator, records: list[Record], out: Path) -> list[TrainerCallback]:
        """The adapter saved on the way, and for a model that hears the audio gain."""
        found: list[TrainerCallback] = [SaveAdapter(model, out / ADAPTER, self.save_every)]
        if self.gain_every and isinstance(collator, AudioCollator):
            known = self.held or records
            probe = random.Random(self.seed).sample(known, min(16, len(known)))
            found.append(AudioGain(model, collator, probe, self.gain_every))
        return found


class Resumable:
    """In front of a trainer: its checkpoints hold what is trained, all of it and in full precision.

    Transformers would keep PEFT's adapter and forget the projector, which is trained whole and is no adapter. With
    optimizer, schedule and random state, which Transformers does keep, the step after is the one that would have been.
    """

    model: Any
    args: Any

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: p.detach().cpu().contiguous() for name, p in self._trained().items()}, folder / TRAINED)

    @torch.no_grad()
    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        file = Path(resume_from_checkpoint) / TRAINED
        found, trained = load_file(file), self._trained()
        if found.keys() != trained.keys():
            raise ValueError(f"{file} was written by a run that trained something else")
        for name, value in found.items():
            trained[name].copy_(value)

    def _trained(self) -> dict[str, Any]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: a checkpoint to go on from is nobody's model."""


def collator_of(base: Path, model: Any) -> Collator:
    """What makes batches for the base's architecture."""
    if architecture_of(model) == "audioflamingo3":
        return AudioCollator(AutoProcessor.from_pretrained(base), model.config.audio_token_id)
    return TextCollator(AutoTokenizer.from_pretrained(base))


def take_in_order(trainer: Trainer) -> None:
    """Make the trainer take its rows as they come: `by_length` has put them into batches, in random order, and a
    sampler would take these apart again.
    """
    trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(trainer.train_dataset)  # type: ignore


def finish(trainer: Trainer, model: Any, out: Path, how: Loop, head: dict[str, Any] | None = None) -> Path:
    """Train, then write the adapter and the log (`head`, if given, is its first line); returns the adapter's file."""
    last = get_last_checkpoint(str(out)) if how.resume and out.is_dir() else None
    if how.resume:
        print(f"goes on from {last}" if last else "no checkpoint to go on from: starts at the beginning", flush=True)
    trainer.train(resume_from_checkpoint=last)
    save_adapter(adapter_tensors(model), out / ADAPTER)
    lines = [*([head] if head else []), *trainer.state.log_history]
    (out / "log.json").write_text(json.dumps(lines, indent=1) + "\n")
    return out / ADAPTER


class AudioGain(TrainerCallback):
    """Logs how much the right audio helps: loss on the records with the next record's audio, minus loss with theirs."""

    def __init__(self, model: Any, collator: AudioCollator, records: list[Record], every: int) -> None:
        self.model, self.collator, self.records, self.every = model, collator, records, every

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self.every == 0:
            gain = audio_gain(self.model, self.collator, self.records)
            state.log_history.append({"step": state.global_step, "audio_gain": gain})
            print(f"step {state.global_step}: audio gain {gain:+.4f}", flush=True)


class SaveAdapter(TrainerCallback):
    """Writes the adapter every `every` steps, so that a run that is cut short leaves what it had learned."""

    def __init__(self, model: Any, file: Path, every: int) -> None:
        self.model, self.file, self.every = model, file, every

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self.every == 0:
            save_adapter(adapter_tensors(self.model), self.file)


@torch.no_grad()
def audio_gain(model: Any, collator: AudioCollator, records: list[Record]) -> float:
    """Mean over records of loss(another's audio) - loss(own audio), in nats a token; 0 means the audio is not heard."""
    if len(records) < 2:
        raise ValueError("the audio gain needs two records: one lends the other its audio")
    was_training = model.training
    model.eval()
    total = 0.0
    for pair in zip(records, with_other_audio(records), strict=True):
        own, wrong = (
            model(**{key: value.to(model.device) for key, value in collator([heard]).items()}).loss for heard in pair
        )
        total += float(wrong - own)
    model.train(was_training)
    return total / len(records)


def by_length(records: list[Record], batch: int, seed: int) -> Any:
    """A dataset whose consecutive `batch` rows are of like length, the batches in random order.

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


def add_arguments(parser: argparse.ArgumentParser, steps: int, rate: float, log_every: int = 10) -> None:
    """The options that every recipe has; `steps`, `rate` and `log_every` are its defaults."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="JSONL files of records")
    parser.add_argument("--held", type=Path, nargs="*", default=[], help="JSONL files to measure the audio gain on")
    parser.add_argument("--out", type=Path, required=True, help="folder for the adapter and the log")
    parser.add_argument("--start", type=Path, nargs="*", default=[], help="adapters to begin from, in order")
    parser.add_argument("--steps", type=int, default=steps, help="optimizer steps")
    parser.add_argument("--batch", type=int, default=8, help="records a batch")
    parser.add_argument("--accumulate", type=int, default=1, help="batches a step; small batches suit a CPU's cache")
    parser.add_argument("--rate", type=float, default=rate, help="peak learning rate")
    parser.add_argument("--rank", type=int, default=16, help="rank of the LoRA pairs (alpha is twice that)")
    parser.add_argument(
        "--gain-every", type=int, default=50, help="steps between two measures of the audio gain; 0 is never"
    )
    parser.add_argument(
        "--save-every", type=int, default=50, help="steps between two checkpoints, and writes of the adapter"
    )
    parser.add_argument("--log-every", type=int, default=log_every, help="steps between two log lines")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in OUT, if there is one")
    parser.add_argument("--max-words", type=int, default=0, help="leave out records of more spoken words; 0 keeps all")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that make batches, so that a GPU need not wait for audio"
    )
    parser.add_argument("--seed", type=int, default=0)


def records_of(options: argparse.Namespace) -> list[Record]:
    """The records of `--data`, without those of more than `--max-words`."""
    records = [r for r in read_records(*options.data) if not options.max_words or r.words <= options.max_words]
    print(f"{len(records)} records", flush=True)
    return records


def loop_of(options: argparse.Namespace) -> tuple[list[Record], Loop]:
    """The records and the loop that the options name."""
    records = records_of(options)
    given = {f.name: getattr(options, f.name) for f in fields(Loop)}
    return records, Loop(**given | {"held": read_records(*options.held)})
