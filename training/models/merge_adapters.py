"""A copy of a checkpoint folder with adapters merged into its weights: every companion file kept, each tensor under the
name and in the precision it had. One file of weights is in memory at a time.

Knows nothing about families: an adapter's names are those in the files.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file

from model_repo.assemble import LORA_A_SUFFIX, LORA_B_SUFFIX, merge_adapter

WEIGHT_PATTERNS = ("*.safetensors", "*.bin", "*.pth", "*.gguf")


def weight_files(folder: Path, derived: tuple[str, ...] = ()) -> list[Path]:
    """The folder's safetensors files, but for those of the names `derived`. Raises ValueError if there is none."""
    files = sorted(file for file in folder.glob("*.safetensors") if file.name not in derived)
    if not files:
        raise ValueError(f"{folder} holds no safetensors file: weights in other formats are not read")
    return files


def write_merged_copy(
    base: Path, adapter: dict[str, NDArray[np.float16]], out: Path, scale: float, derived: tuple[str, ...] = ()
) -> Path:
    """Write the copy; returns its folder.

    derived: names of weight files that are other forms of the same weights, and so left out, as are weights in other
    formats: they would be the untrained ones. Raises ValueError if `out` holds files already, or for an adapter's
    tensor that fits nothing.
    """
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: files left there could be taken for this checkpoint's")
    files = weight_files(base, derived)
    out.mkdir(parents=True, exist_ok=True)
    for found in sorted(base.iterdir()):
        if found.is_dir():
            shutil.copytree(found, out / found.name)
        elif not any(found.match(pattern) for pattern in WEIGHT_PATTERNS):
            shutil.copyfile(found, out / found.name)
    left = dict(adapter)
    for file in files:
        tensors, metadata = _read_tensors(file)
        here = {name: value for name, value in left.items() if _target_name(name) in tensors}
        for name in here:
            del left[name]
        whole = {name: tensors[name].float().numpy() for name in {_target_name(name) for name in here}}
        for name, value in merge_adapter(whole, here, scale).items():
            tensors[name] = torch.from_numpy(value).to(tensors[name].dtype)
        save_file(tensors, out / file.name, metadata=metadata)
        (out / file.name).chmod(0o644)
    if left:
        raise ValueError(f"the adapter's {min(left)} fits no tensor of {base}")
    return out


def _target_name(name: str) -> str:
    for end in (LORA_A_SUFFIX, LORA_B_SUFFIX):
        if name.endswith(end):
            return name.removesuffix(end) + ".weight"
    return name


def _read_tensors(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    with safe_open(file, "pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata() or {"format": "pt"}  # noqa: SIM118
