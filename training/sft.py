"""Supervised fine-tuning: TRL's `SFTTrainer` with our own collators, for the model that hears and for its text twin.

    speechsum-train sft --base audioflamingo3 --data var/data/train.jsonl --out var/runs/sft [--start FILE …]
    speechsum-train sft --base llama --data var/data/text.jsonl --out var/runs/twin

What it does: encoder frozen, projector whole, LoRA on every projection of the language model; the loss is on the
answer only (arXiv 2509.19631, stage one, with a synthetic corpus whose facts are known). Batches hold records of like
length. Every `--gain-every` steps the *audio gain* is measured: the loss with another clip's audio minus the loss with
its own. If it stays at zero the model has only learned how summaries sound, however well the loss falls.

Limits: one process; the audio is decoded and its mel windows made when a batch is built (no feature cache).
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from training.checkpoint import adapter_tensors, add_lora, architecture_of, load_adapter, open_model, save_adapter
from training.corpus.record import Record
from training.examples import AudioCollator, TextCollator, read_records, with_other_audio

ADAPTER = "adapter.safetensors"


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


def train(
    base: Path,
    records: list[Record],
    out: Path,
    *,
    start: list[Path],
    steps: int,
    batch: int,
    rate: float,
    rank: int,
    gain_every: int = 0,
    save_every: int = 50,
    accumulate: int = 1,
    seed: int = 0,
    workers: int = 0,
    held: list[Record] | None = None,
) -> Path:
    """Train and write the adapter; returns its file.

    start: adapters to begin from, copied in order. held: records to measure the audio gain on; without them it is
    measured on some of those trained on, which flatters it.
    """
    torch.manual_seed(seed)
    model = add_lora(open_model(base), rank)
    copied = [load_adapter(model, file) for file in start]
    print(f"started from {list(zip(map(str, start), copied, strict=True))}", flush=True)
    inner: Any = model.get_base_model()
    collator: Any
    callbacks: list[TrainerCallback] = [SaveAdapter(model, out / ADAPTER, save_every)]
    if architecture_of(model) == "audioflamingo3":
        processor = AutoProcessor.from_pretrained(base)
        collator = AudioCollator(processor, inner.config.audio_token_id)
        if gain_every:
            probe = random.Random(seed).sample(held or records, min(16, len(held or records)))
            callbacks.append(AudioGain(model, collator, probe, gain_every))
    else:
        collator = TextCollator(AutoTokenizer.from_pretrained(base))
    trainer = trainer_of(
        model,
        collator,
        records,
        out,
        steps=steps,
        batch=batch,
        accumulate=accumulate,
        rate=rate,
        seed=seed,
        workers=workers,
        callbacks=callbacks,
    )
    trainer.train()
    file = out / ADAPTER
    save_adapter(adapter_tensors(model), file)
    (out / "log.json").write_text(json.dumps(trainer.state.log_history, indent=1) + "\n")
    return file


def trainer_of(
    model: Any,
    collator: Any,
    records: list[Record],
    out: Path,
    *,
    steps: int,
    batch: int,
    accumulate: int = 1,
    rate: float,
    seed: int,
    workers: int = 0,
    callbacks: list[TrainerCallback],
) -> SFTTrainer:
    """TRL's trainer over the records, as this recipe sets it up."""
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(out),
            max_steps=steps,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulate,
            learning_rate=rate,
            lr_scheduler_type="cosine",
            warmup_steps=max(1, steps // 20),
            logging_steps=10,
            save_strategy="no",
            report_to=["tensorboard"],
            remove_unused_columns=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
            gradient_checkpointing=False,
            dataloader_pin_memory=torch.cuda.is_available(),
            dataloader_num_workers=workers,
            seed=seed,
        ),
        train_dataset=by_length(records, batch, seed),
        data_collator=collator,
        callbacks=callbacks,
    )
    # The rows are already in batches of like length, in random order; a sampler would take them apart again.
    trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(trainer.train_dataset)  # type: ignore
    return trainer


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The recipe's options."""
    parser.add_argument("--base", type=Path, required=True, help="assembled checkpoint to start from")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="JSONL files of records")
    parser.add_argument("--held", type=Path, nargs="*", default=[], help="JSONL files to measure the audio gain on")
    parser.add_argument("--out", type=Path, required=True, help="folder for the adapter and the log")
    parser.add_argument("--start", type=Path, nargs="*", default=[], help="adapters to begin from, in order")
    parser.add_argument("--steps", type=int, default=500, help="optimizer steps")
    parser.add_argument("--batch", type=int, default=8, help="records a batch")
    parser.add_argument("--accumulate", type=int, default=1, help="batches a step; small batches suit a CPU's cache")
    parser.add_argument("--rate", type=float, default=5e-4, help="peak learning rate")
    parser.add_argument("--rank", type=int, default=16, help="rank of the LoRA pairs (alpha is twice that)")
    parser.add_argument(
        "--gain-every", type=int, default=50, help="steps between two measures of the audio gain; 0 is never"
    )
    parser.add_argument("--save-every", type=int, default=50, help="steps between two writes of the adapter")
    parser.add_argument("--max-words", type=int, default=0, help="leave out records of more spoken words; 0 keeps all")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that make batches, so that a GPU need not wait for audio"
    )
    parser.add_argument("--seed", type=int, default=0)


def run(options: argparse.Namespace) -> int:
    """The `sft` command."""
    records = [r for r in read_records(*options.data) if not options.max_words or r.words <= options.max_words]
    print(f"{len(records)} records", flush=True)
    keys = ("start", "steps", "batch", "rate", "rank", "gain_every", "save_every", "accumulate", "seed", "workers")
    held = read_records(*options.held)
    print(train(options.base, records, options.out, held=held, **{key: getattr(options, key) for key in keys}))
    return 0
