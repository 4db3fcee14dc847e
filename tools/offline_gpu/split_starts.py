"""Split an adapter of the registry into the files from which the stages of a run continue.

    python -m tools.offline_gpu.split_starts align|take ADAPTER FOLDER

The stage `align` needs align.safetensors, with the encoder's part and the projector. The stage `take`, which replaces
align and sft, needs below.safetensors, which is merged into the base, and taken.safetensors, from which training
continues.
"""

import sys
from pathlib import Path

from safetensors.numpy import load_file

from training.families import family_by_model_type
from training.models.checkpoint import save_adapter
from training.models.split_adapter import Tensors, split_adapter

ARCHITECTURE = "audioflamingo3"


def start_adapters(stage: str, tensors: Tensors) -> dict[str, Tensors]:
    """Return the tensors of each file, by its name, that the stage continues from. Raises ValueError for a stage other
    than align and take.
    """
    if stage == "take":
        below, taken = split_adapter(ARCHITECTURE, tensors)
        return {"below": below, "taken": taken}
    if stage == "align":
        family = family_by_model_type(ARCHITECTURE)
        writes = family.checkpoint_name(family.language_model)
        return {"align": {name: value for name, value in tensors.items() if not name.startswith(writes)}}
    raise ValueError(f"the stage {stage} does not begin from an adapter of an audio model; align and take do")


def main(stage: str, adapter: str, folder: str) -> None:
    """Write the files of `start_adapters` for the adapter into the folder."""
    for name, tensors in start_adapters(stage, load_file(adapter)).items():
        save_adapter(tensors, Path(folder) / f"{name}.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
