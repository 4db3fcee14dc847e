"""Granite Speech: a conformer encoder, a Q-Former over blocks of its frames, and Granite.

Its processor needs torchaudio. A checkpoint with a low-rank adapter of its own (3.3) has to be merged with it first:
vLLM needs such an adapter to be named in every request, and what is trained here would be on top of it.
"""

from pathlib import Path
from typing import Any

import torch

from training.families.base import Family, keep_in_eval_mode


class GraniteSpeech(Family):
    """Audio can have any length. In a batch, the padding of a shorter recording affects its last block, here and in
    vLLM. The recipes' batches of similar lengths keep this effect small.
    """

    model_type = "granite_speech"
    projector = ("model.projector.",)
    unsynced_prefixes = ("encoder.",)

    def open(self, folder: Path, dtype: torch.dtype) -> Any:
        """Return the model, with its encoder in evaluation mode. Raises ValueError for a checkpoint with its own
        adapter.
        """
        if (folder / "adapter_config.json").is_file():
            raise ValueError(
                f"{folder} has an adapter of its own: merge it into the weights first, for example with PEFT"
            )
        model = super().open(folder, dtype)
        keep_in_eval_mode(model.model.encoder)
        scale_logits(model)
        return model


@torch.no_grad()
def scale_logits(model: Any) -> None:
    """Divide the logits by the language model's `logits_scaling` if Transformers does not (5.19 does not).

    The most likely tokens are the same without it, but sampling and divergence are not. vLLM divides, and so does TRL,
    which computes its losses without the module of the head.
    """
    scaling = model.config.text_config.logits_scaling
    ids = torch.zeros((1, 1), dtype=torch.long, device=model.device)
    whole, last = model(input_ids=ids).logits, model.model(input_ids=ids).last_hidden_state
    if scaling != 1 and torch.equal(whole, model.lm_head(last)):
        model.lm_head.register_forward_hook(lambda _head, _given, logits: logits / scaling)
