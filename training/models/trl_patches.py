"""The output head of the language model, computed only at the positions of answers: the logits of all positions take
gigabytes for a recording of several minutes.

`logits_at` does this for the forward pass of any model, by what the head is given. Most models have `logits_to_keep`
for it, which Qwen2-Audio and Qwen2.5-Omni ignore. `skip_backbone_logits` keeps a model that is its own backbone from
computing all logits while TRL's fused head computes its own. `score_answers_only` makes this fused head, on a CPU,
compute only the columns in which some row of the batch has an answer.

TRL computes the positions whose label counts, but without Triton all of them. With a recording before each answer that
is five times as many as needed, and each of them against the whole vocabulary, which for a small model is as much work
as all its layers. The result has TRL's shape, with zeros in the columns that are left out, as TRL has. Knows nothing
about recipes.
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
    """Return the module that turns hidden states into logits, whatever wraps the model."""
    found: torch.nn.Module = unwrap_peft(extract_model_from_parallel(model)).get_output_embeddings()
    return found


@contextmanager
def logits_at(model: Any, columns: slice | torch.Tensor) -> Iterator[None]:
    """Within this context, a forward pass computes the logits of these columns of the sequence only.

    columns: a slice or indices of the second dimension of the hidden states (batch, sequence, hidden).
    """

    def cut(_head: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (given[0][:, columns], *given[1:])

    # Before all other hooks, so that they see the input from which the head computes.
    handle = output_head(model).register_forward_pre_hook(cut, prepend=True)
    try:
        yield
    finally:
        handle.remove()


def answer_loss(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the mean cross-entropy over the tokens that have a label, a scalar, like the `loss` of the model.

    batch: `input_ids` and `labels` of shape (batch, sequence), and the model's further inputs.
    """
    given = {name: value for name, value in batch.items() if name != "labels"}
    following = pad(batch["labels"][:, 1:], (0, 1), value=IGNORE_INDEX)
    columns = (following != IGNORE_INDEX).any(0).nonzero()[:, 0]
    with logits_at(model, columns):
        logits = model(**given, use_cache=False).logits
    labels = following[:, columns].to(logits.device)
    return cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORE_INDEX)


def skip_backbone_logits(model: Any) -> None:
    """Let the model's own forward pass compute no logits while TRL uses its fused head. A model that is its own
    backbone (Qwen2.5-Omni's thinker) needs this: TRL runs it for its hidden states, and it would compute all logits as
    well.
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
    """Make a model that TRL's trainer has patched compute logits of answers only. Call this after the trainer is made.

    Return False, and change nothing, on a GPU, where TRL does so itself, and for sharded models, whose forward method
    must not be wrapped.
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
    """Return the output with zeros in the columns that were left out, in each field with a value for each column."""
    for name, value in found.items():
        if value.dim() == 2:
            found[name] = value.new_zeros(len(value), width).index_copy(1, columns, value)
    return found
