"""Training whole (`--full`): every weight but the encoder's learns, instead of LoRA pairs beside the language model's.

What is trained is then stored as whole tensors, float32. Adapters to start from may hold LoRA pairs, which are merged
into the weights, or whole tensors, which take their place. Knows nothing about how training is done.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from model_repo.assemble import LORA_A_SUFFIX, LORA_B_SUFFIX
from training.families import family_by_model_type, tensors_for_family
from training.models.checkpoint import LORA_SCALE, model_type_of

EMBEDDING_NAME, HEAD_NAME = "model.embed_tokens.weight", "lm_head.weight"  # of a text model


def unfreeze_weights(model: Any) -> Any:
    """The model, ready to be trained whole."""
    family = family_by_model_type(model_type_of(model))
    for name, parameter in model.named_parameters():
        written = (
            not family.takes_audio or name.startswith((family.language_model, HEAD_NAME)) or family.is_projector(name)
        )
        parameter.requires_grad_(written)
    return model


@torch.no_grad()
def load_full_adapter(model: Any, file: Path) -> int:
    """Lay an adapter on a model without LoRA; returns how many of its tensors were used.

    Text twins' fit audio models. A twin's head is its embedding; here they are two, and both get it. A twin takes what
    is the language model's. Raises ValueError for a tensor that fits nothing.
    """
    family = family_by_model_type(model_type_of(model))
    into = {family.checkpoint_name(name): p for name, p in model.named_parameters()}
    found = tensors_for_family(family, load_file(file))
    known = {name.removesuffix(".weight") for name in into}
    tensors = {}
    for name, value in found.items():
        own = name.removesuffix(LORA_A_SUFFIX).removesuffix(LORA_B_SUFFIX).removesuffix(".weight") in known
        tensors[name if own else family.name_from_text_model(name)] = value
    head = family.checkpoint_name(HEAD_NAME)
    if family.takes_audio and EMBEDDING_NAME in found and head in into and HEAD_NAME not in found:
        tensors[head] = found[EMBEDDING_NAME]
    for name, value in tensors.items():
        if name.endswith(LORA_A_SUFFIX):
            continue
        given = torch.from_numpy(value.astype(np.float32))
        target = name.removesuffix(LORA_B_SUFFIX) + ".weight" if name.endswith(LORA_B_SUFFIX) else name
        if name.endswith(LORA_B_SUFFIX):
            other = tensors.get(name.removesuffix(LORA_B_SUFFIX) + LORA_A_SUFFIX)
            if other is None:
                raise ValueError(f"{file}: {name} has no {LORA_A_SUFFIX.removeprefix('.')} beside it")
            given = LORA_SCALE * given @ torch.from_numpy(other.astype(np.float32))
        if target not in into or into[target].shape != given.shape:
            raise ValueError(f"{file}: {name} with shape {value.shape} fits nothing in the model")
        if name.endswith(LORA_B_SUFFIX):
            into[target].add_(given)
        else:
            into[target].copy_(given)
    return len(tensors)
