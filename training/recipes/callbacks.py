"""What happens on the way: the audio gain is measured, the adapter saved.

Knows nothing about losses or data files.
"""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from training.data.record import Record
from training.models.checkpoint import adapter_tensors, save_adapter
from training.models.collate import AudioCollator, Collator, shuffle_audio
from training.models.precision import to_model_device
from training.models.trl_patches import answer_loss
from training.recipes.config import TrainConfig
from training.runtime import allocator, distributed, process_clock
from training.runtime.distributed import print_once
from training.runtime.run_record import ADAPTER_FILE


class AudioGainCallback(TrainerCallback):
    """Logs how much the right audio helps: loss on the records with the next record's audio, minus loss with theirs.

    Every process measures it on the same records, so that none waits for another's part of the parameters in vain.
    """

    trainer: Trainer

    def __init__(self, model: Any, collator: AudioCollator, records: list[Record], every: int) -> None:
        self.model, self.collator, self.records, self.every_steps = model, collator, records, every

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self.every_steps == 0:
            gain = audio_gain(self.model, self.collator, self.records)
            # Past what a recipe's own trainer adds to a line: that belongs to the step's, which is still to come.
            step_too = control.should_log
            Trainer.log(self.trainer, {"audio_gain": gain})
            control.should_log = step_too
            print_once(f"step {state.global_step}: audio gain {gain:+.4f}")


class TimeLimitCallback(TrainerCallback):
    """Ends training when so many seconds have passed since the process began, and sets the rate by the time left
    then from the first step on: up over a twentieth of it, then a cosine down, whatever the schedule by steps.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.started_at, self.progress, self.learning_rate = seconds, 0.0, 0.0, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.started_at = process_clock.seconds_since_process_start()

    def on_step_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any) -> None:
        left = max(1e-6, self.seconds - self.started_at)
        self.progress = min(1.0, (process_clock.seconds_since_process_start() - self.started_at) / left)
        for group in optimizer.param_groups:  # the scheduler has just set it, and sets it anew after the step
            group["lr"] *= min(1.0, 0.05 + 20 * self.progress) * 0.5 * (1 + math.cos(math.pi * self.progress))
            self.learning_rate = group["lr"]

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """The rate that was used, where Transformers notes the scheduler's."""
        for line in (logs, state.log_history[-1]):
            if "learning_rate" in line:
                line["learning_rate"] = self.learning_rate

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if process_clock.seconds_since_process_start() >= self.seconds:
            control.should_training_stop = True


class ReleaseMemoryCallback(TrainerCallback):
    """Gives free memory back when the machine runs short of it (`training.runtime.allocator`)."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if allocator.memory_is_short():
            allocator.release_free_memory()


class SaveAdapterCallback(TrainerCallback):
    """Writes the adapter every `every` steps, so that a run that is cut short leaves what it had learned."""

    def __init__(self, model: Any, file: Path, every: int) -> None:
        self.model, self.file, self.every_steps = model, file, every

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self.every_steps == 0:
            tensors = adapter_tensors(self.model)
            if distributed.is_main_process():
                save_adapter(tensors, self.file)


@torch.no_grad()
def audio_gain(model: Any, collator: AudioCollator, records: list[Record]) -> float:
    """Mean over records of loss(another's audio) - loss(own audio), in nats a token; 0 means the audio is not heard."""
    if len(records) < 2:
        raise ValueError("the audio gain needs two records: one lends the other its audio")
    was_training = model.training
    model.eval()
    total = 0.0
    for pair in zip(records, shuffle_audio(records), strict=True):
        own, wrong = (answer_loss(model, to_model_device(collator([heard]), model)) for heard in pair)
        total += float(wrong - own)
    model.train(was_training)
    return total / len(records)


def build_callbacks(
    config: TrainConfig, model: Any, collator: Collator, records: Sequence[Record], out: Path
) -> list[TrainerCallback]:
    """Return the callbacks of a run: they save the adapter, and do what the configuration asks for beside that.

    The audio gain is measured on up to 16 records with a summary, from `config.eval_dataset` or else from `records`,
    and only if the collator is one for models that hear.
    """
    found: list[TrainerCallback] = [SaveAdapterCallback(model, out / ADAPTER_FILE, config.save_steps)]
    if config.keep_freed_memory:
        found.append(ReleaseMemoryCallback())
    if config.max_minutes:
        found.append(TimeLimitCallback(60 * config.max_minutes))
    if config.audio_gain_steps and isinstance(collator, AudioCollator):
        usable = [r for r in config.eval_dataset or records if r.summary.strip() and not r.written]
        sample = random.Random(config.seed).sample(usable, min(16, len(usable)))
        if len(sample) < 2:
            print_once("the audio gain is not measured: it takes two records with a summary")
        else:
            found.append(AudioGainCallback(model, collator, sample, config.audio_gain_steps))
    return found
