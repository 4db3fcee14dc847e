"""In what numbers a recipe computes: float32, or bfloat16 where the machine is quick in it; what is trained stays
float32 either way (DeepSpeed keeps that copy in its optimizer).

Knows nothing about models.
"""

import argparse
from typing import Any

import torch
from torch import nn

from training.models.checkpoint import unwrap_peft

CHOICES = ("auto", "float32", "bfloat16")


def uses_bfloat16(choice: str) -> bool:
    """`auto` is bfloat16 on a GPU, and float32 on a CPU: only some (AVX-512 BF16, AMX) are quicker in bfloat16."""
    return choice == "bfloat16" or (choice == "auto" and torch.cuda.is_available())


def autocast(choice: str, device: torch.device | str) -> Any:
    """The context to compute in."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=uses_bfloat16(choice))


def cast_frozen_layers(model: Any, choice: str) -> None:
    """Make a model whose trained parameters are chosen ready for bfloat16; does nothing in float32.

    The weights of frozen linear layers are held in it, so that they need not be cast again for every forward pass, one
    for each token that is sampled. On a CPU attention becomes plain matrix products: the fused kernel is no quicker in
    bfloat16 than in float32, and with it a step of `sft` took 8.8 s instead of 6.1 s (AVX-512 BF16, one core).
    """
    if not uses_bfloat16(choice):
        return
    tied = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    for module in model.modules():
        if isinstance(module, nn.Linear) and not module.weight.requires_grad and id(module.weight) not in tied:
            module.to(torch.bfloat16)
    if not torch.cuda.is_available():
        unwrap_peft(model).set_attn_implementation("eager")


def to_model_device(batch: dict[str, torch.Tensor], model: Any) -> dict[str, torch.Tensor]:
    """The batch where the model is, what is no id in the numbers of its weights."""
    weight = next(p for p in model.parameters() if p.is_floating_point())
    return {
        name: value.to(weight.device, weight.dtype if value.is_floating_point() else value.dtype)
        for name, value in batch.items()
    }


def add_precision_argument(parser: argparse.ArgumentParser) -> None:
    """The option."""
    where = "auto: bfloat16 on a GPU, float32 on a CPU, where bfloat16 pays if it has AVX-512 BF16 or AMX"
    parser.add_argument("--precision", choices=CHOICES, default="auto", help=where)
