"""Full fine-tuning (`--full-finetuning`): all weights except the encoder's are trained, instead of LoRA pairs.

What is trained is stored as whole tensors, float32. Adapters to start from may have LoRA pairs, which are merged into
the weights, or whole tensors, which replace them. Knows nothing about how training is done.
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
    """Return the model with all parameters trainable except the encoder's."""
    family = family_by_model_type(model_type_of(model))
    for name, parameter in model.named_parameters():
        written = (
            not family.takes_audio or name.startswith((family.language_model, HEAD_NAME)) or family.is_projector(name)
        )
        parameter.requires_grad_(written)
    return model


@torch.no_grad()
def load_full_adapter(model: Any, file: Path) -> int:
    """Apply an adapter to a model without LoRA, and return how many of its tensors were used.

    The adapter of a text twin fits an audio model. The twin's output head is its embedding; an audio model has two
    tensors, which both get it. A text twin takes the language model's tensors of an audio model's adapter. Raises
    ValueError for a tensor that does not fit.
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
            raise ValueError(f"{file}: {name} with shape {value.shape} fits no parameter of the model")
        if name.endswith(LORA_B_SUFFIX):
            into[target].add_(given)
        else:
            into[target].copy_(given)
    return len(tensors)
