"""What an adapter of the registry has for the stages that go on from it.

    python -m tools.offline_gpu.split_starts align|take ADAPTER FOLDER

`align` gets align.safetensors, the encoder's part and the projector. `take`, the stage that stands for align and sft,
gets below.safetensors, to be merged, and taken.safetensors, which is gone on from.
"""

import sys
from pathlib import Path

from safetensors.numpy import load_file

from training.families import family_by_model_type
from training.models.checkpoint import save_adapter
from training.models.split_adapter import Tensors, split_adapter

ARCHITECTURE = "audioflamingo3"


def start_adapters(stage: str, tensors: Tensors) -> dict[str, Tensors]:
    """By file name, what the stage goes on from. Raises ValueError for a stage that takes no such start."""
    if stage == "take":
        below, taken = split_adapter(ARCHITECTURE, tensors)
        return {"below": below, "taken": taken}
    if stage == "align":
        family = family_by_model_type(ARCHITECTURE)
        writes = family.checkpoint_name(family.language_model)
        return {"align": {name: value for name, value in tensors.items() if not name.startswith(writes)}}
    raise ValueError(f"{stage} begins from no adapter of a model that hears; align and take do")


def main(stage: str, adapter: str, folder: str) -> None:
    """Write them."""
    for name, tensors in start_adapters(stage, load_file(adapter)).items():
        save_adapter(tensors, Path(folder) / f"{name}.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
