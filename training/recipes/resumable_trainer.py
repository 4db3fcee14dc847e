"""Trainer checkpoints from which a run continues exactly where it stopped.

Knows nothing about losses or about data.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from training.runtime import distributed
from training.runtime.resume import TRAINED_FILE


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
