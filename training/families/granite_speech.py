"""Granite Speech: a conformer, a Q-Former over blocks of its frames, Granite.

Its processor needs torchaudio. Checkpoints that bring a low-rank adapter of their own (3.3) must have it merged first:
vLLM would want it named in every request, and what is trained here would lie on top of it.
"""

from pathlib import Path
from typing import Any

import torch

from training.families.base import Family, keep_in_eval_mode


class GraniteSpeech(Family):
    """Audio of any length. In a batch the last block of a shorter recording hears what fills it up, here as in vLLM:
    batches of like length, as the recipes make them, keep that small.
    """

    model_type = "granite_speech"
    projector = ("model.projector.",)
    unsynced_prefixes = ("encoder.",)

    def open(self, folder: Path, dtype: torch.dtype) -> Any:
        if (folder / "adapter_config.json").is_file():
            raise ValueError(f"{folder} brings an adapter of its own: merge it into the weights first (PEFT can)")
        model = super().open(folder, dtype)
        keep_in_eval_mode(model.model.encoder)
        scale_logits(model)
        return model


@torch.no_grad()
def scale_logits(model: Any) -> None:
    """Divide the logits by the language model's `logits_scaling`, where Transformers (5.19) has forgotten to: the same
    words are likeliest without, but sampling and divergence are another model's. vLLM divides, and so does TRL, which
    works out its losses without the head's module.
    """
    scaling = model.config.text_config.logits_scaling
    ids = torch.zeros((1, 1), dtype=torch.long, device=model.device)
    whole, last = model(input_ids=ids).logits, model.model(input_ids=ids).last_hidden_state
    if scaling != 1 and torch.equal(whole, model.lm_head(last)):
        model.lm_head.register_forward_hook(lambda _head, _given, logits: logits / scaling)
