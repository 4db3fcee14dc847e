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
    """A base class before a trainer's: its checkpoints hold all that is trained, in float32.

    Transformers saves PEFT's adapter and not the projector, which is trained whole and is no adapter. It does save the
    optimizer, the schedule and the random state. So a run that continues from a checkpoint takes the steps that it
    would have taken without the interruption.
    """

    model: Any
    args: Any

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the trained parameters. All processes have to call this, and the first one writes."""
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
            raise ValueError(f"{file} was written by a run that trained other parameters")
        for name, value in found.items():
            distributed.set_parameter(trained[name], value)

    def _trained_parameters(self) -> dict[str, Any]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write no model card: the checkpoint is only for continuing the run."""
