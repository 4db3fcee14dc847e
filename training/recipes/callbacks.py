"""What happens on the way: the audio gain is measured, the adapter saved.

Knows nothing about losses or data files.
"""

import math
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from training.data.record import Record
from training.models.checkpoint import adapter_tensors, save_adapter
from training.models.collate import AudioCollator, with_other_audio
from training.models.precision import placed
from training.models.trl_patches import answers_loss
from training.runtime import allocator, distributed, process_clock
from training.runtime.distributed import say


class AudioGain(TrainerCallback):
    """Logs how much the right audio helps: loss on the records with the next record's audio, minus loss with theirs.

    Every process measures it on the same records, so that none waits for another's part of the parameters in vain.
    """

    trainer: Trainer

    def __init__(self, model: Any, collator: AudioCollator, records: list[Record], every: int) -> None:
        self.model, self.collator, self.records, self.every = model, collator, records, every

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self.every == 0:
            gain = audio_gain(self.model, self.collator, self.records)
            # Past what a recipe's own trainer adds to a line: that belongs to the step's, which is still to come.
            step_too = control.should_log
            Trainer.log(self.trainer, {"audio_gain": gain})
            control.should_log = step_too
            say(f"step {state.global_step}: audio gain {gain:+.4f}")


class Within(TrainerCallback):
    """Ends training when so many seconds have passed since the process began, and sets the rate by the time left
    then from the first step on: up over a twentieth of it, then a cosine down, whatever the schedule by steps.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.began, self.share, self.rate = seconds, 0.0, 0.0, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began = process_clock.since_start()

    def on_step_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any) -> None:
        left = max(1e-6, self.seconds - self.began)
        self.share = min(1.0, (process_clock.since_start() - self.began) / left)
        for group in optimizer.param_groups:  # the scheduler has just set it, and sets it anew after the step
            group["lr"] *= min(1.0, 0.05 + 20 * self.share) * 0.5 * (1 + math.cos(math.pi * self.share))
            self.rate = group["lr"]

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """The rate that was used, where Transformers notes the scheduler's."""
        for line in (logs, state.log_history[-1]):
            if "learning_rate" in line:
                line["learning_rate"] = self.rate

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if process_clock.since_start() >= self.seconds:
            control.should_training_stop = True


class GiveBack(TrainerCallback):
    """Gives free memory back when the machine runs short of it (`training.runtime.allocator`)."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if allocator.short():
            allocator.give_back()


class SaveAdapter(TrainerCallback):
    """Writes the adapter every `every` steps, so that a run that is cut short leaves what it had learned."""

    def __init__(self, model: Any, file: Path, every: int) -> None:
        self.model, self.file, self.every = model, file, every

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self.every == 0:
            tensors = adapter_tensors(self.model)
            if distributed.first():
                save_adapter(tensors, self.file)


@torch.no_grad()
def audio_gain(model: Any, collator: AudioCollator, records: list[Record]) -> float:
    """Mean over records of loss(another's audio) - loss(own audio), in nats a token; 0 means the audio is not heard."""
    if len(records) < 2:
        raise ValueError("the audio gain needs two records: one lends the other its audio")
    was_training = model.training
    model.eval()
    total = 0.0
    for pair in zip(records, with_other_audio(records), strict=True):
        own, wrong = (answers_loss(model, placed(collator([heard]), model)) for heard in pair)
        total += float(wrong - own)
    model.train(was_training)
    return total / len(records)
