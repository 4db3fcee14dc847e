"""Checkpoints in training: open an assembled checkpoint as a Transformers model, add LoRA, and write what was trained
as an adapter.

An adapter is what `model_repo.assemble` merges: low-rank pairs for the projections with LoRA, whole tensors for the
projector. Its names are those in the checkpoint's files, which vLLM uses too. Transformers' names differ, and
`training.families` maps them. Knows nothing about data or about how training is done.
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

LORA_SCALE = 2  # alpha / r of every recipe, so that one scale holds for all pairs of an adapter
PEFT_PREFIX = "base_model.model."  # what PEFT puts before a parameter's name


def checkpoint_parameter_name(architecture: str, name: str) -> str:
    """Return the name in the checkpoint's files of a Transformers parameter."""
    return family_by_model_type(architecture).checkpoint_name(name)


def open_model(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """Return the Transformers model of a checkpoint folder, on the CPU. Raises ValueError if tensors are missing or do
    not belong to it.
    """
    try:
        family = family_of_folder(folder)
    except UnknownFamily:
        return Family().open(folder, dtype)  # a teacher is not trained, so any text model will do
    return family.open(folder, dtype)


def unwrap_peft(model: nn.Module) -> Any:
    """Return the Transformers model inside a PEFT model, or the model itself if it is none."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def model_type_of(model: nn.Module) -> str:
    """Return the `model_type` of the model's configuration."""
    return str(unwrap_peft(model).config.model_type)


def add_lora(model: Any, rank: int, encoder_rank: int = 0, freeze_encoder: bool = False) -> PeftModel:
    """Return the model with LoRA of `rank` on the language model and of `encoder_rank` on the encoder (0 is none).

    The projector, if there is one, is trained whole, and everything else is frozen. With `freeze_encoder` the encoder's
    LoRA weights are frozen too, and keep what is loaded into them. Raises ValueError for an encoder rank in a family
    whose encoder is never trained.
    """
    family = family_by_model_type(model_type_of(model))
    targets, ranks = family.lora_targets, {}
    if encoder_rank:
        if family.encoder_lora_targets is None:
            raise ValueError(f"--encoder-rank has to be 0: an encoder of {family.model_type} is never trained")
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
    """Return the trained tensors under the names of the checkpoint's files: float16 for LoRA; float32 for a model that
    was trained whole, whose steps may be smaller than float16 resolves. Collective (`training.runtime.distributed`).

    Raises ValueError if training has diverged (a value is not finite or too large) or if nothing was trained.
    """
    family = family_by_model_type(model_type_of(model))
    kept: Any = np.float16 if isinstance(model, PeftModel) else np.float32
    out: dict[str, NDArray[np.floating[Any]]] = {}
    for name, parameter in model.named_parameters():
        plain = name.removeprefix(PEFT_PREFIX)
        if ".lora_" in plain and ".default." not in plain:
            continue  # another adapter: the reference model of DPO
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
    """Write an adapter file. An earlier one stays whole until the new one is complete."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".part")  # a run that is killed here leaves the earlier file
    save_file(tensors, scratch)
    scratch.replace(file)
    file.chmod(0o644)  # safetensors makes the file private; other users have to read it


def load_adapter(model: PeftModel, file: Path) -> int:
    """Copy an adapter's tensors into a model with LoRA of the same shape, and return how many were copied.

    The adapter of a text twin fits an audio model: it goes into the language model. Of an audio model's adapter, a text
    twin takes the tensors of the language model. Raises ValueError for a tensor that does not fit.
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
            raise ValueError(f"{file}: {name} with shape {value.shape} fits no parameter of the model")
        with torch.no_grad():
            into[name].copy_(torch.from_numpy(value.astype(np.float32)))
        copied += 1
    return copied
