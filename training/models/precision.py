"""The number format in which a recipe computes: float32, or bfloat16 on machines that are fast in it. Trained
parameters stay float32 either way (DeepSpeed keeps that copy in its optimizer).

Knows nothing about models.
"""

import argparse
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from training.models.checkpoint import unwrap_peft

CHOICES = ("auto", "float32", "bfloat16")
FLOAT32_ATTENTION = "float32_sdpa"  # the name of `attend_in_float32` among Transformers' attention functions


def uses_bfloat16(choice: str) -> bool:
    """Return whether to compute in bfloat16. `auto` does on a GPU; of CPUs only some (AVX-512 BF16, AMX) gain by it."""
    return choice == "bfloat16" or (choice == "auto" and torch.cuda.is_available())


def autocast(choice: str, device: torch.device | str) -> Any:
    """Return the autocast context in which to compute on the device."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=uses_bfloat16(choice))


def cast_frozen_layers(model: Any, choice: str) -> None:
    """Prepare a model for computing in bfloat16, after its trained parameters have been chosen. Do nothing in float32.

    The weights of frozen linear layers become bfloat16, so that they need not be cast for every forward pass, of which
    sampling needs one for each token. On a CPU attention is computed in float32 (`attend_in_float32`).
    """
    if not uses_bfloat16(choice):
        return
    tied = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    for module in model.modules():
        if isinstance(module, nn.Linear) and not module.weight.requires_grad and id(module.weight) not in tied:
            module.to(torch.bfloat16)
    if not torch.cuda.is_available():
        AttentionInterface.register(FLOAT32_ATTENTION, attend_in_float32)
        AttentionMaskInterface.register(FLOAT32_ATTENTION, sdpa_mask)
        unwrap_peft(model).set_attn_implementation(FLOAT32_ATTENTION)


def attend_in_float32(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Return Transformers' `sdpa` attention of float32 copies of the tensors, in the type of `query`.

    On a CPU PyTorch's fused kernel is slower in bfloat16 than in float32, and attention by plain matrix products keeps
    all attention weights for the backward pass: gigabytes for a row of 2,000 tokens in a model of 24 layers. This way,
    three steps of `sft` on a text model of 0.5 billion parameters took 109 s, in float32 172 s (AVX-512 BF16).

    query, key, value: tensors of the shape (batch, heads, tokens, head size).
    """
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    with torch.autocast(query.device.type, enabled=False):
        output, _ = sdpa_attention_forward(module, query.float(), key.float(), value.float(), attention_mask, **options)
    return output.to(query.dtype), None


def to_model_device(batch: dict[str, torch.Tensor], model: Any) -> dict[str, torch.Tensor]:
    """Return the batch on the model's device, with floating-point tensors in the type of its weights."""
    weight = next(p for p in model.parameters() if p.is_floating_point())
    return {
        name: value.to(weight.device, weight.dtype if value.is_floating_point() else value.dtype)
        for name, value in batch.items()
    }


def add_precision_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option `--precision`."""
    where = (
        "Number format to compute in. auto is bfloat16 on a GPU and float32 on a CPU, where bfloat16 is faster only "
    )
    where += "with AVX-512 BF16 or AMX."
    parser.add_argument("--precision", choices=CHOICES, default="auto", help=where)
