"""Checkpoints on the training side: open an assembled one as a Transformers model, add LoRA, and turn what was
trained into an adapter.

An adapter is what `model_repo.assemble` merges: low-rank pairs for the projections that got LoRA, whole tensors for
the projector. Names are those of the assembled checkpoint, which are also vLLM's; Transformers' differ (`NAMES`).
Knows nothing about data or about how training is done.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.numpy import load_file, save_file
from torch import nn

from model_repo.assemble import LORA_A, LORA_B

SCALE = 2  # alpha / r of every recipe here: one adapter's scale serves all its pairs
TEXT_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# Transformers' parameter prefixes → the assembled checkpoint's; longest first.
NAMES = {
    "audioflamingo3": (
        ("model.language_model.", "language_model.model."),
        ("lm_head.", "language_model.lm_head."),
        ("model.", ""),
    ),
    "llama": (),
}


def assembled_name(architecture: str, name: str) -> str:
    """A Transformers parameter's name in the assembled checkpoint."""
    for ours, theirs in NAMES[architecture]:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def open_model(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """The Transformers model of an assembled checkpoint, nothing missing and nothing left over (ValueError
    otherwise).
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    # Not every audio architecture is in an auto class: take the one the config names.
    model_class = getattr(transformers, config.architectures[0])
    model, info = model_class.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    wrong = {k: v for k, v in info.items() if v and k != "error_msgs"}
    if wrong:
        raise ValueError(f"{folder} does not fit {config.architectures[0]}: {wrong}")
    return model


def architecture_of(model: nn.Module) -> str:
    """`audioflamingo3` or `llama`: the registry's name of the model's architecture."""
    inner: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    return str(inner.config.model_type)


def lora_targets(architecture: str) -> str:
    """Pattern of the modules that get LoRA: every projection of the language model, none of the encoder's."""
    projections = "|".join(TEXT_PROJECTIONS)
    prefix = r".*language_model\." if architecture == "audioflamingo3" else r"model\."
    return rf"{prefix}layers\.\d+\.\w+\.({projections})"


def add_lora(model: Any, rank: int) -> PeftModel:
    """LoRA on the language model; the projector, if there is one, trains whole; everything else is frozen."""
    architecture = architecture_of(model)
    config = LoraConfig(
        r=rank, lora_alpha=SCALE * rank, target_modules=lora_targets(architecture), task_type="CAUSAL_LM"
    )
    peft_model = get_peft_model(model, config)
    for name, parameter in peft_model.named_parameters():
        if "multi_modal_projector" in name:
            parameter.requires_grad_(True)
    return peft_model


def adapter_tensors(model: PeftModel) -> dict[str, NDArray[np.float16]]:
    """What was trained, float16, under assembled names. Raises ValueError if a trained tensor has no place in an
    adapter.
    """
    architecture = architecture_of(model)
    out: dict[str, NDArray[np.float16]] = {}
    for name, parameter in model.named_parameters():
        plain = name.removeprefix("base_model.model.")
        if ".lora_" in plain and ".default." not in plain:
            continue  # another adapter's: the reference that DPO keeps
        if ".lora_A." in plain or ".lora_B." in plain:
            module, _, rest = plain.partition(".lora_")
            plain = module + (LORA_A if rest.startswith("A") else LORA_B)
        elif not parameter.requires_grad:
            continue
        value = parameter.detach().float().cpu().numpy()
        if not np.isfinite(value).all() or np.abs(value).max(initial=0) > np.finfo(np.float16).max:
            raise ValueError(f"{name} holds values that float16 cannot: training has diverged")
        out[assembled_name(architecture, plain)] = value.astype(np.float16)
    if not out:
        raise ValueError("nothing was trained")
    return out


def save_adapter(tensors: dict[str, NDArray[np.float16]], file: Path) -> None:
    """Write an adapter file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".part")  # a run that is ended while it saves must leave the last whole one
    save_file(tensors, scratch)
    scratch.replace(file)
    file.chmod(0o644)  # safetensors makes it private; an image or another user must be able to read it


def load_adapter(model: PeftModel, file: Path) -> int:
    """Copy an adapter's tensors into a model that has the same LoRA shape.

    Returns how many tensors were copied. Text twins' adapters fit audio models: the language model's names are mapped.
    Raises ValueError for a tensor that fits nothing.
    """
    architecture = architecture_of(model)
    into = {}
    for name, parameter in model.named_parameters():
        plain = name.removeprefix("base_model.model.").replace(".default.weight", ".weight")
        into[assembled_name(architecture, plain)] = parameter
    copied = 0
    for name, value in load_file(file).items():
        if architecture == "audioflamingo3" and name.startswith("model."):
            name = f"language_model.{name}"
        if name not in into or tuple(into[name].shape) != value.shape:
            raise ValueError(f"{file}: {name} with shape {value.shape} fits nothing in the model")
        with torch.no_grad():
            into[name].copy_(torch.from_numpy(value.astype(np.float32)))
        copied += 1
    return copied
