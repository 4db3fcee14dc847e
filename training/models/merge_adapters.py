"""A copy of a checkpoint folder with adapters merged into its weights: all other files are copied, and each tensor
keeps its name and type. The tensors of one file are in memory at a time.

Knows nothing about families: the adapter's names are those in the files.
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
    """Return the folder's safetensors files except those named in `derived`. Raises ValueError if there is none."""
    files = sorted(file for file in folder.glob("*.safetensors") if file.name not in derived)
    if not files:
        raise ValueError(f"{folder} holds no safetensors file: weights in other formats are not read")
    return files


def write_merged_copy(
    base: Path, adapter: dict[str, NDArray[np.float16]], out: Path, scale: float, derived: tuple[str, ...] = ()
) -> Path:
    """Write the copy into the folder `out`, and return it.

    derived: names of weight files that are another form of the same weights. They are left out, and so are weights in
    other formats, because they would be the untrained ones. Raises ValueError if `out` is not empty, or for a tensor of
    the adapter that fits no tensor of the checkpoint.
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
    remaining = dict(adapter)
    for file in files:
        tensors, metadata = _read_tensors(file)
        here = {name: value for name, value in remaining.items() if _target_name(name) in tensors}
        for name in here:
            del remaining[name]
        whole = {name: tensors[name].float().numpy() for name in {_target_name(name) for name in here}}
        for name, value in merge_adapter(whole, here, scale).items():
            tensors[name] = torch.from_numpy(value).to(tensors[name].dtype)
        save_file(tensors, out / file.name, metadata=metadata)
        (out / file.name).chmod(0o644)
    if remaining:
        raise ValueError(f"the adapter's {min(remaining)} fits no tensor of {base}")
    return out


def _target_name(name: str) -> str:
    for end in (LORA_A_SUFFIX, LORA_B_SUFFIX):
        if name.endswith(end):
            return name.removesuffix(end) + ".weight"
    return name


def _read_tensors(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    with safe_open(file, "pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata() or {"format": "pt"}  # noqa: SIM118
