"""Training whole (`--full`): every weight but the encoder's learns, instead of LoRA pairs beside the language model's.

What is trained is then stored as whole tensors, float32. Adapters to start from may hold LoRA pairs, which are merged
into the weights, or whole tensors, which take their place. Knows nothing about how training is done.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from model_repo.assemble import LORA_A, LORA_B
from training.families import as_taken, family_named
from training.models.checkpoint import SCALE, architecture_of

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"  # of a text model


def unfrozen(model: Any) -> Any:
    """The model, ready to be trained whole."""
    family = family_named(architecture_of(model))
    for name, parameter in model.named_parameters():
        written = not family.hears or name.startswith((family.language_model, HEAD)) or family.is_projector(name)
        parameter.requires_grad_(written)
    return model


@torch.no_grad()
def take(model: Any, file: Path) -> int:
    """Lay an adapter on a model without LoRA; returns how many of its tensors were used.

    Text twins' fit audio models. A twin's head is its embedding; here they are two, and both get it. A twin takes what
    is the language model's. Raises ValueError for a tensor that fits nothing.
    """
    family = family_named(architecture_of(model))
    into = {family.on_disk(name): p for name, p in model.named_parameters()}
    found = as_taken(family, load_file(file))
    known = {name.removesuffix(".weight") for name in into}
    tensors = {}
    for name, value in found.items():
        own = name.removesuffix(LORA_A).removesuffix(LORA_B).removesuffix(".weight") in known
        tensors[name if own else family.of_twin(name)] = value
    head = family.on_disk(HEAD)
    if family.hears and EMBEDDING in found and head in into and HEAD not in found:
        tensors[head] = found[EMBEDDING]
    for name, value in tensors.items():
        if name.endswith(LORA_A):
            continue
        given = torch.from_numpy(value.astype(np.float32))
        target = name.removesuffix(LORA_B) + ".weight" if name.endswith(LORA_B) else name
        if name.endswith(LORA_B):
            other = tensors.get(name.removesuffix(LORA_B) + LORA_A)
            if other is None:
                raise ValueError(f"{file}: {name} has no {LORA_A.removeprefix('.')} beside it")
            given = SCALE * given @ torch.from_numpy(other.astype(np.float32))
        if target not in into or into[target].shape != given.shape:
            raise ValueError(f"{file}: {name} with shape {value.shape} fits nothing in the model")
        if name.endswith(LORA_B):
            into[target].add_(given)
        else:
            into[target].copy_(given)
    return len(tensors)
