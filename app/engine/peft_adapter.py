"""A LoRA adapter's folder, as PEFT saves it, made such that vLLM uses all of it; or refused.

vLLM passes over tensors whose names it does not know in silence, and over those of the audio encoder and the projector:
an adapter would then change less than was trained, or nothing. Here each has to fit a weight of the checkpoint's
language model. Names as Transformers has them are those of the checkpoint's files afterwards, which vLLM reads. Knows
nothing about vLLM.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.numpy import load_file, save_file

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
PEFT_PREFIX = "base_model.model."  # what PEFT puts before every name
LORA_WEIGHT_SUFFIX = re.compile(r"\.lora_[AB]\.weight$")
LANGUAGE_MODEL_PREFIX = "language_model."  # in the files of a checkpoint that hears; a text model's have no such part
TRANSFORMERS_PREFIXES = (("model.language_model.", "language_model.model."), ("lm_head.", "language_model.lm_head."))
PATTERN_FIELDS = ("rank_pattern", "alpha_pattern")


class UnusableAdapter(ValueError):
    """The adapter cannot be served; the message says why."""


def adapter_rank(folder: Path) -> int:
    """The highest rank of an adapter's pairs. Raises `UnusableAdapter`."""
    config = _read_config(folder)
    ranks = [config.get("r"), *(config.get("rank_pattern") or {}).values()]
    if not all(isinstance(rank, int) and rank > 0 for rank in ranks):
        raise UnusableAdapter(f"{folder / CONFIG_FILE} names no rank r")
    return int(max(ranks))


def prepare_adapter(folder: Path, checkpoint: Path, scratch: Path) -> Path:
    """The folder itself if vLLM can use it as it is, else a copy with other names in `scratch`. checkpoint: the folder
    of the model that it was trained on. Raises `UnusableAdapter`.
    """
    config = _read_config(folder)
    if not (folder / WEIGHTS_FILE).is_file():
        raise UnusableAdapter(f"{folder} holds no {WEIGHTS_FILE}")
    weights = _weight_shapes(checkpoint)
    hears = any(name.startswith(LANGUAGE_MODEL_PREFIX) for name in weights)
    tensors = load_file(folder / WEIGHTS_FILE)
    if not tensors:
        raise UnusableAdapter(f"{folder / WEIGHTS_FILE} is empty")
    names: dict[str, str] = {}
    for name, value in tensors.items():
        plain = name.removeprefix(PEFT_PREFIX)
        module = LORA_WEIGHT_SUFFIX.sub("", plain)
        if module == plain:
            raise UnusableAdapter(f"{name} is no LoRA pair: an adapter that replaces weights is served merged")
        found = next((one for one in _checkpoint_names(module) if f"{one}.weight" in weights), None)
        if found is None:
            raise UnusableAdapter(f"{name} fits no weight of the model it is loaded on")
        if hears and not found.startswith(LANGUAGE_MODEL_PREFIX):
            raise UnusableAdapter(
                f"{name} is not on the language model: there alone vLLM applies adapters, others are served merged"
            )
        whole, side = weights[f"{found}.weight"], 1 if plain.endswith("lora_A.weight") else 0
        if value.shape[side] != whole[side]:
            raise UnusableAdapter(f"{name} has shape {value.shape}, the model's weight has {whole}")
        names[name] = f"{PEFT_PREFIX}{found}{plain[len(module) :]}"
    if all(name == new for name, new in names.items()):
        return folder
    if any(config.get(pattern) for pattern in PATTERN_FIELDS):
        raise UnusableAdapter("its ranks differ by patterns of Transformers' names: serve it merged")
    scratch.mkdir(parents=True, exist_ok=True)
    save_file({names[name]: value for name, value in tensors.items()}, scratch / WEIGHTS_FILE)
    modules = sorted({LORA_WEIGHT_SUFFIX.sub("", name).rsplit(".", 1)[-1] for name in names})
    (scratch / CONFIG_FILE).write_text(json.dumps(config | {"target_modules": modules}))
    return scratch


def _checkpoint_names(module: str) -> list[str]:
    """What a module may be called in the checkpoint's files."""
    return [module] + [
        ours + module.removeprefix(theirs) for theirs, ours in TRANSFORMERS_PREFIXES if module.startswith(theirs)
    ]


def _weight_shapes(checkpoint: Path) -> dict[str, tuple[int, int]]:
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
        raise UnusableAdapter(f"{folder} is no adapter as PEFT saves it: {error}") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise UnusableAdapter(f"{folder} is no LoRA adapter")
    return config
