"""The language model's head, worked out only where an answer stands: all positions against the whole vocabulary take
gigabytes for a recording of minutes.

`logits_at` does it for any model's own forward, by what is handed to the head: `logits_to_keep`, which most models
take, Qwen2-Audio and Qwen2.5-Omni ignore. `skip_backbone_logits` keeps a model that is its own backbone from making all
logits while TRL's fused head works out its own. `score_answers_only` makes that fused head score on a CPU only the
columns in which some row of the batch has an answer.

TRL projects the positions whose label counts, but off Triton all of them: with a recording before each answer that is
four positions of five for nothing, each of them against the whole vocabulary, which for a small model is as much work
as all its layers. What comes back has the shape that TRL gives it, with zeros in the columns left out, where TRL has
zeros too. Knows nothing about recipes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from torch.nn.functional import cross_entropy, pad
from transformers.utils import ModelOutput

from training.models.checkpoint import unwrap_peft
from training.models.collate import IGNORE_INDEX
from training.runtime import distributed


def output_head(model: Any) -> torch.nn.Module:
    """The module that turns hidden states into logits, whatever is around the model."""
    found: torch.nn.Module = unwrap_peft(extract_model_from_parallel(model)).get_output_embeddings()
    return found


@contextmanager
def logits_at(model: Any, columns: slice | torch.Tensor) -> Iterator[None]:
    """Around a forward pass: the logits are those of these columns of the sequence alone.

    columns: a slice, or ids, of the second dimension of the hidden states (batch, sequence, hidden).
    """

    def cut(_head: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (given[0][:, columns], *given[1:])

    # Before every other hook, so that whoever looks at what the head is given sees what it works out.
    handle = output_head(model).register_forward_pre_hook(cut, prepend=True)
    try:
        yield
    finally:
        handle.remove()


def answer_loss(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean cross-entropy over the tokens that have a label, as the model's own `loss` is.

    batch: `input_ids`, `labels` (batch, sequence) and whatever else the model is given.
    """
    given = {name: value for name, value in batch.items() if name != "labels"}
    following = pad(batch["labels"][:, 1:], (0, 1), value=IGNORE_INDEX)
    columns = (following != IGNORE_INDEX).any(0).nonzero()[:, 0]
    with logits_at(model, columns):
        logits = model(**given, use_cache=False).logits
    labels = following[:, columns].to(logits.device)
    return cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORE_INDEX)


def skip_backbone_logits(model: Any) -> None:
    """While TRL's fused head is asked for, let the model's own forward make no logits. Needed where a model is its own
    backbone (Qwen2.5-Omni's thinker), which TRL runs for its hidden states and which then makes all logits as well.
    """
    inner, fused = unwrap_peft(model), list[bool]()

    def enter(_model: Any, _given: Any, named: dict[str, Any]) -> None:
        fused.append(bool(named.get("fused_lm_head")))

    def leave(_model: Any, _given: Any, _output: Any) -> None:
        if fused:
            fused.pop()

    def cut(_head: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return (given[0][:, :0], *given[1:]) if any(fused) else None

    inner.register_forward_pre_hook(enter, prepend=True, with_kwargs=True)
    inner.register_forward_hook(leave, always_call=True)
    output_head(model).register_forward_pre_hook(cut, prepend=True)


def score_answers_only(model: Any) -> bool:
    """Make a model that TRL's trainer has patched score answers only; False where it does so by itself (a GPU), or is
    sharded, and its forward is not ours to wrap. To be called when the trainer has been made.
    """
    inner = unwrap_peft(model)
    if torch.cuda.is_available() or distributed.uses_fsdp() or distributed.uses_deepspeed():
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
        following = pad(labels[:, 1:], (0, 1), value=IGNORE_INDEX)
        columns.append((following != IGNORE_INDEX).any(0).nonzero()[:, 0])
        try:
            found = fused(*given, fused_lm_head=True, shift_labels=following[:, columns[-1]], **named)
            return _scatter_columns(found, columns[-1], labels.shape[1] - 1)
        finally:
            columns.pop()

    inner.base_model.register_forward_hook(cut)
    inner.forward = forward
    return True


def _scatter_columns(found: ModelOutput, columns: torch.Tensor, width: int) -> ModelOutput:
    """The fields of a value a column, with zeros for the columns that were left out."""
    for name, value in found.items():
        if value.dim() == 2:
            found[name] = value.new_zeros(len(value), width).index_copy(1, columns, value)
    return found
