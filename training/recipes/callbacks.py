"""What happens during training: the adapter is saved, the audio gain is measured, time and memory are limited.

Knows nothing about losses or data files.
"""

import math
import random
import time
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
    """Logs the audio gain every `every` steps: how much the right audio helps (see `audio_gain`).

    Every process measures it on the same records, because sharded parameters are gathered from all processes.
    """

    trainer: Trainer

    def __init__(self, model: Any, collator: AudioCollator, records: list[Record], every: int) -> None:
        self.model, self.collator, self.records, self.every_steps = model, collator, records, every

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure and log the audio gain, if it is due."""
        if state.global_step % self.every_steps == 0:
            gain = audio_gain(self.model, self.collator, self.records)
            # A recipe's trainer may add metrics in its own `log`. They belong to the step's line, which comes later.
            step_too = control.should_log
            Trainer.log(self.trainer, {"audio_gain": gain})
            control.should_log = step_too
            print_once(f"step {state.global_step}: audio gain {gain:+.4f}")


class TimeLimitCallback(TrainerCallback):
    """Ends training `seconds` after the process began, and sets the learning rate by the time.

    The rate rises during the first twentieth of the time that training has, then falls as a cosine. The schedule by
    steps has to be constant.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.started_at, self.progress, self.learning_rate = seconds, 0.0, 0.0, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Note when training begins."""
        self.started_at = process_clock.seconds_since_process_start()

    def on_step_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any) -> None:
        """Set the learning rate of the step."""
        available = max(1e-6, self.seconds - self.started_at)
        self.progress = min(1.0, (process_clock.seconds_since_process_start() - self.started_at) / available)
        for group in optimizer.param_groups:  # the scheduler has just set the rate, and will set it after the step
            group["lr"] *= min(1.0, 0.05 + 20 * self.progress) * 0.5 * (1 + math.cos(math.pi * self.progress))
            self.learning_rate = group["lr"]

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Write the rate that was used into the line, where Transformers writes the scheduler's."""
        for line in (logs, state.log_history[-1]):
            if "learning_rate" in line:
                line["learning_rate"] = self.learning_rate

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop training if the time is over."""
        if process_clock.seconds_since_process_start() >= self.seconds:
            control.should_training_stop = True


class StepTimeCallback(TrainerCallback):
    """Logs `step_seconds`: the mean time of a step since the last line, with everything that a step takes."""

    def __init__(self) -> None:
        self._since, self._step = 0.0, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        self._since, self._step = time.perf_counter(), state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Write the time into the line, if it is one of steps."""
        if "loss" not in state.log_history[-1] or not (steps := state.global_step - self._step):
            return
        now = time.perf_counter()
        for line in (logs, state.log_history[-1]):
            line["step_seconds"] = round((now - self._since) / steps, 4)
        self._since, self._step = now, state.global_step


class ReleaseMemoryCallback(TrainerCallback):
    """Returns freed memory to the system if less than half of the machine's is left (`training.runtime.allocator`)."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Return freed memory, if the machine is short of it."""
        if allocator.memory_is_short():
            allocator.release_free_memory()


class SaveAdapterCallback(TrainerCallback):
    """Writes the adapter every `every` steps, so that a run that is killed leaves what it has learned."""

    def __init__(self, model: Any, file: Path, every: int) -> None:
        self.model, self.file, self.every_steps = model, file, every

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the adapter, if it is due. All processes have to call this."""
        if state.global_step % self.every_steps == 0:
            tensors = adapter_tensors(self.model)
            if distributed.is_main_process():
                save_adapter(tensors, self.file)


@torch.no_grad()
def audio_gain(model: Any, collator: AudioCollator, records: list[Record]) -> float:
    """Return the mean over the records of the loss with another record's audio minus the loss with their own, in nats
    per token. 0 means that the model makes no use of the audio. Raises ValueError for fewer than two records.
    """
    if len(records) < 2:
        raise ValueError("the audio gain needs two records, because each is given the audio of another")
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
    """Return the callbacks of a run: they time its steps, save the adapter, and do what the configuration says.

    The audio gain is measured on up to 16 records with a summary, from `config.eval_dataset` or else from `records`,
    and only if the collator is one for models that hear.
    """
    found: list[TrainerCallback] = [
        StepTimeCallback(),
        SaveAdapterCallback(model, out / ADAPTER_FILE, config.save_steps),
    ]
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
