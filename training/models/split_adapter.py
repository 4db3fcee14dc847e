"""Splits the adapter of a registry version, so that training can continue from the version.

`below` is what no recipe after `align` trains (the encoder's pairs); it is merged into the base. `start` is what the
recipes continue with: the language model's pairs and the projector. Knows nothing about how either is trained.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from model_repo.manifest import Manifest
from training.families import family_by_model_type
from training.models.checkpoint import save_adapter

Tensors = dict[str, NDArray[np.floating[Any]]]


def split_adapter(architecture: str, tensors: Tensors) -> tuple[Tensors, Tensors]:
    """Return the two parts (below, start) of an adapter's tensors."""
    family = family_by_model_type(architecture)
    trained = tuple(family.checkpoint_name(prefix) for prefix in (family.language_model, *family.projector))
    start = {name: value for name, value in tensors.items() if not family.takes_audio or name.startswith(trained)}
    return {name: value for name, value in tensors.items() if name not in start}, start


def write_split_adapter(manifest: Manifest, folder: Path) -> tuple[list[Path], Path]:
    """Write both parts as adapter files beside `folder`, since a checkpoint's folder may have no other files. Return
    the adapters to merge, none or one, and the adapter to start from. Raises ValueError for a version without an
    adapter.
    """
    if manifest.adapter is None:
        raise ValueError(f"{manifest.id} has no adapter: it is its base parts, which --architecture alone gives")
    below, start = split_adapter(manifest.architecture, load_file(manifest.folder / manifest.adapter.file))
    files = [folder.with_name(f"{folder.name}.{part}.safetensors") for part in ("below", "start")]
    save_adapter(start, files[1])
    if not below:
        return [], files[1]
    save_adapter(below, files[0])
    return [files[0]], files[1]
