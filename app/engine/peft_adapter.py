"""Prepares the folder of a LoRA adapter, as PEFT saves it, so that vLLM uses all of it, or refuses it.

vLLM silently ignores tensors whose names it does not know, and those of the audio encoder and the projector. The
adapter would then change less than was trained, or nothing. Here, every tensor has to fit a weight of the checkpoint's
language model. Names of Transformers' modules are changed to those of the checkpoint's files, which vLLM expects. Knows
nothing about vLLM's API.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.numpy import load_file, save_file

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
PEFT_PREFIX = "base_model.model."  # PEFT puts this before every name
LORA_WEIGHT_SUFFIX = re.compile(r"\.lora_[AB]\.weight$")
LANGUAGE_MODEL_PREFIX = "language_model."  # in the files of an audio language model; a text model has no such prefix
TRANSFORMERS_PREFIXES = (("model.language_model.", "language_model.model."), ("lm_head.", "language_model.lm_head."))
PATTERN_FIELDS = ("rank_pattern", "alpha_pattern")


class UnusableAdapter(ValueError):
    """The adapter cannot be served. The message says why."""


def adapter_rank(folder: Path) -> int:
    """Return the highest rank of an adapter's weights. Raises `UnusableAdapter` if its configuration has none."""
    config = _read_config(folder)
    ranks = [config.get("r"), *(config.get("rank_pattern") or {}).values()]
    if not all(isinstance(rank, int) and rank > 0 for rank in ranks):
        raise UnusableAdapter(f"{folder / CONFIG_FILE} has no rank r")
    return int(max(ranks))


def prepare_adapter(folder: Path, checkpoint: Path, scratch: Path) -> Path:
    """Return a folder that vLLM can use: the adapter's own, or a copy with other tensor names.

    Args:
        folder: The adapter's folder.
        checkpoint: The folder of the model that the adapter is loaded on.
        scratch: The folder for the copy. It is created if it is needed.

    Raises:
        UnusableAdapter: vLLM would not use all of the adapter.
    """
    config = _read_config(folder)
    if not (folder / WEIGHTS_FILE).is_file():
        raise UnusableAdapter(f"{folder} holds no {WEIGHTS_FILE}")
    weights = _weight_shapes(checkpoint)
    is_audio_model = any(name.startswith(LANGUAGE_MODEL_PREFIX) for name in weights)
    tensors = load_file(folder / WEIGHTS_FILE)
    if not tensors:
        raise UnusableAdapter(f"{folder / WEIGHTS_FILE} is empty")
    names: dict[str, str] = {}
    for name, value in tensors.items():
        plain = name.removeprefix(PEFT_PREFIX)
        module = LORA_WEIGHT_SUFFIX.sub("", plain)
        if module == plain:
            raise UnusableAdapter(f"{name} is not a LoRA weight: merge an adapter that replaces weights into its model")
        weight_name = next((one for one in _checkpoint_names(module) if f"{one}.weight" in weights), None)
        if weight_name is None:
            raise UnusableAdapter(f"{name} fits no weight of the model it is loaded on")
        if is_audio_model and not weight_name.startswith(LANGUAGE_MODEL_PREFIX):
            raise UnusableAdapter(
                f"{name} is not on the language model, and vLLM applies adapters only there: merge it into its model"
            )
        shape, side = weights[f"{weight_name}.weight"], 1 if plain.endswith("lora_A.weight") else 0
        if value.shape[side] != shape[side]:
            raise UnusableAdapter(f"{name} has shape {value.shape}, the model's weight has {shape}")
        names[name] = f"{PEFT_PREFIX}{weight_name}{plain[len(module) :]}"
    if all(name == new for name, new in names.items()):
        return folder
    if any(config.get(pattern) for pattern in PATTERN_FIELDS):
        raise UnusableAdapter("its ranks differ by patterns of Transformers' names: merge it into its model")
    scratch.mkdir(parents=True, exist_ok=True)
    save_file({names[name]: value for name, value in tensors.items()}, scratch / WEIGHTS_FILE)
    modules = sorted({LORA_WEIGHT_SUFFIX.sub("", name).rsplit(".", 1)[-1] for name in names})
    (scratch / CONFIG_FILE).write_text(json.dumps(config | {"target_modules": modules}))
    return scratch


def _checkpoint_names(module: str) -> list[str]:
    """Return the names that a module may have in the checkpoint's files."""
    return [module] + [
        in_files + module.removeprefix(in_transformers)
        for in_transformers, in_files in TRANSFORMERS_PREFIXES
        if module.startswith(in_transformers)
    ]


def _weight_shapes(checkpoint: Path) -> dict[str, tuple[int, int]]:
    """Return the shape of each weight in a checkpoint's files, with all axes but the first as one."""
    shapes = {}
    for file in checkpoint.glob("*.safetensors"):
        with safe_open(file, "np") as opened:
            for name in opened.keys():  # noqa: SIM118
                shape = opened.get_slice(name).get_shape()
                shapes[name] = (shape[0] if shape else 1, math.prod(shape[1:]))
    return shapes


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG_FILE).read_text())
    except (OSError, ValueError) as error:
        raise UnusableAdapter(f"{folder} is not an adapter as PEFT saves it: {error}") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise UnusableAdapter(f"{folder} is not a LoRA adapter")
    return config
