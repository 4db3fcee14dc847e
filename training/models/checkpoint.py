"""Checkpoints on the training side: open an assembled one as a Transformers model, add LoRA, and turn what was
trained into an adapter.

An adapter is what `model_repo.assemble` merges: low-rank pairs for the projections that got LoRA, whole tensors for
the projector. Names are those in the checkpoint's files, which are also vLLM's; Transformers' differ, and
`training.families` says how. Knows nothing about data or about how training is done.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.numpy import load_file, save_file
from torch import nn

from model_repo.assemble import LORA_A_SUFFIX, LORA_B_SUFFIX
from training.families import Family, UnknownFamily, family_by_model_type, family_of_folder, tensors_for_family
from training.runtime.distributed import full_parameter

LORA_SCALE = 2  # alpha / r of every recipe here: one adapter's scale serves all its pairs
PEFT_PREFIX = "base_model.model."  # what PEFT puts before a parameter's name


def checkpoint_parameter_name(architecture: str, name: str) -> str:
    """A Transformers parameter's name in the checkpoint's files."""
    return family_by_model_type(architecture).checkpoint_name(name)


def open_model(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """The Transformers model of a checkpoint folder, nothing missing and nothing left over (ValueError otherwise)."""
    try:
        family = family_of_folder(folder)
    except UnknownFamily:
        return Family().open(folder, dtype)  # a teacher is only read: any text model will do
    return family.open(folder, dtype)


def unwrap_peft(model: nn.Module) -> Any:
    """The Transformers model itself, where PEFT is around it."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def model_type_of(model: nn.Module) -> str:
    """The `model_type` of the model's family."""
    return str(unwrap_peft(model).config.model_type)


def add_lora(model: Any, rank: int, encoder_rank: int = 0, freeze_encoder: bool = False) -> PeftModel:
    """LoRA on the language model, and of `encoder_rank` on the encoder; the projector, if there is one, trains whole;
    everything else is frozen, with `freeze_encoder` the encoder's pairs too, which are then what is loaded into them.
    Raises ValueError for a family whose encoder stays as it is.
    """
    family = family_by_model_type(model_type_of(model))
    targets, ranks = family.lora_targets, {}
    if encoder_rank:
        if family.encoder_lora_targets is None:
            raise ValueError(f"--encoder-rank: the encoder of {family.model_type} stays as it is, if it has one")
        targets, ranks = f"({targets})|({family.encoder_lora_targets})", {family.encoder_lora_targets: encoder_rank}
    config = LoraConfig(
        r=rank,
        lora_alpha=LORA_SCALE * rank,
        target_modules=targets,
        rank_pattern=ranks,
        alpha_pattern={pattern: LORA_SCALE * r for pattern, r in ranks.items()},
        task_type="CAUSAL_LM",
    )
    peft_model = get_peft_model(model, config)
    for name, parameter in peft_model.named_parameters():
        plain = name.removeprefix(PEFT_PREFIX)
        if family.is_projector(plain):
            parameter.requires_grad_(True)
        elif freeze_encoder and family.encoder_lora_targets and re.match(family.encoder_lora_targets, plain):
            parameter.requires_grad_(False)
    return peft_model


def adapter_tensors(model: Any) -> dict[str, NDArray[np.floating[Any]]]:
    """What was trained, under assembled names: float16, but float32 of a model that was trained whole, whose steps may
    be smaller than what float16 can tell apart. Collective (`training.runtime.distributed`). Raises ValueError if
    training has diverged.
    """
    family = family_by_model_type(model_type_of(model))
    kept: Any = np.float16 if isinstance(model, PeftModel) else np.float32
    out: dict[str, NDArray[np.floating[Any]]] = {}
    for name, parameter in model.named_parameters():
        plain = name.removeprefix(PEFT_PREFIX)
        if ".lora_" in plain and ".default." not in plain:
            continue  # another adapter's: the reference that DPO keeps
        if ".lora_A." in plain or ".lora_B." in plain:
            module, _, rest = plain.partition(".lora_")
            plain = module + (LORA_A_SUFFIX if rest.startswith("A") else LORA_B_SUFFIX)
        elif not parameter.requires_grad:
            continue
        value = full_parameter(parameter).numpy()
        if not np.isfinite(value).all() or np.abs(value).max(initial=0) > np.finfo(kept).max:
            raise ValueError(f"{name} holds values that {kept.__name__} cannot: training has diverged")
        out[family.checkpoint_name(plain)] = value.astype(kept)
    if not out:
        raise ValueError("nothing was trained")
    return out


def save_adapter(tensors: dict[str, NDArray[np.floating[Any]]], file: Path) -> None:
    """Write an adapter file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".part")  # a run that is ended while it saves must leave the last whole one
    save_file(tensors, scratch)
    scratch.replace(file)
    file.chmod(0o644)  # safetensors makes it private; an image or another user must be able to read it


def load_adapter(model: PeftModel, file: Path) -> int:
    """Copy an adapter's tensors into a model that has the same LoRA shape.

    Returns how many tensors were copied. Text twins' adapters fit models that hear, whose language model's names are
    mapped; of the adapter of a model that hears its twin takes the language model's, and leaves what hears. Raises
    ValueError for a tensor that fits nothing.
    """
    family = family_by_model_type(model_type_of(model))
    into = {}
    for name, parameter in model.named_parameters():
        plain = name.removeprefix(PEFT_PREFIX).replace(".default.weight", ".weight")
        into[family.checkpoint_name(plain)] = parameter
    copied = 0
    for name, value in tensors_for_family(family, load_file(file)).items():
        name = name if name in into else family.name_from_text_model(name)
        if name not in into or tuple(into[name].shape) != value.shape:
            raise ValueError(f"{file}: {name} with shape {value.shape} fits nothing in the model")
        with torch.no_grad():
            into[name].copy_(torch.from_numpy(value.astype(np.float32)))
        copied += 1
    return copied
