"""TRL's fused head, made to score on a CPU only the columns in which some row of the batch has an answer.

TRL projects the positions whose label counts, but off Triton all of them: with a recording before each answer that is
four positions of five for nothing, each of them against the whole vocabulary, which for a small model is as much work
as all its layers. What comes back has the shape that TRL gives it, with zeros in the columns left out, where TRL has
zeros too. Knows nothing about recipes.
"""

from functools import wraps
from typing import Any

import torch
from torch.nn.functional import pad
from transformers.utils import ModelOutput

from training import processes
from training.checkpoint import unwrapped
from training.examples import IGNORED


def answers_only(model: Any) -> bool:
    """Make a model that TRL's trainer has patched score answers only; False where it does so by itself (a GPU), or is
    sharded, and its forward is not ours to wrap. To be called when the trainer has been made.
    """
    inner = unwrapped(model)
    if torch.cuda.is_available() or processes.fsdp() or processes.deepspeed():
        return False
    fused = inner.forward
    columns: list[torch.Tensor] = []

    def cut(_module: Any, _given: Any, output: Any) -> None:
        if columns:
            output.last_hidden_state = output.last_hidden_state[:, columns[-1]]

    @wraps(fused)
    def forward(*given: Any, fused_lm_head: bool = False, labels: Any = None, **named: Any) -> Any:
        if not fused_lm_head or labels is None or named.get("shift_labels") is not None:
            return fused(*given, fused_lm_head=fused_lm_head, labels=labels, **named)
        following = pad(labels[:, 1:], (0, 1), value=IGNORED)
        columns.append((following != IGNORED).any(0).nonzero()[:, 0])
        try:
            found = fused(*given, fused_lm_head=True, shift_labels=following[:, columns[-1]], **named)
            return _spread(found, columns[-1], labels.shape[1] - 1)
        finally:
            columns.pop()

    inner.base_model.register_forward_hook(cut)
    inner.forward = forward
    return True


def _spread(found: ModelOutput, columns: torch.Tensor, width: int) -> ModelOutput:
    """The fields of a value a column, with zeros for the columns that were left out."""
    for name, value in found.items():
        if value.dim() == 2:
            found[name] = value.new_zeros(len(value), width).index_copy(1, columns, value)
    return found
