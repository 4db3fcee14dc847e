"""A student's weights as it now is, in the form an engine loads: LoRA merged, under the assembled checkpoint's names.

Knows nothing about servers.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor

from training.checkpoint import architecture_of, assembled_name

SHARD_BYTES = 1 << 30  # a file's tensors are copied into memory before it is written


@torch.no_grad()
def merged(model: Any, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Name and value of every tensor of the assembled checkpoint, on the CPU. The model is left as it is.

    The projections are `W + scale · B·A` as PEFT works it out, to rounding what `model_repo.assemble` serves.
    """
    architecture = architecture_of(model)
    pairs: dict[str, Any] = {name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}
    for name, value in model.state_dict().items():
        if ".lora_" in name:
            continue
        module, found, rest = name.rpartition(".base_layer.")
        if found and rest == "weight":
            value = value.float() + pairs[module].get_delta_weight("default").float()
        plain = name.removeprefix("base_model.model.").replace(".base_layer.", ".")
        yield assembled_name(architecture, plain), value.to("cpu", dtype).contiguous()


def write(model: Any, folder: Path, dtype: torch.dtype, shard_bytes: int = SHARD_BYTES) -> None:
    """The whole checkpoint's tensors into the folder, as safetensors files of about `shard_bytes` at most."""
    shard: dict[str, Tensor] = {}
    number = 0

    def close() -> None:
        nonlocal number
        number += 1
        file = folder / f"model-{number:05}.safetensors"
        save_file(shard, file, metadata={"format": "pt"})
        file.chmod(0o644)  # safetensors makes it private; a server of another user must be able to read it
        shard.clear()

    for name, value in merged(model, dtype):
        shard[name] = value
        if sum(tensor.nbytes for tensor in shard.values()) >= shard_bytes:
            close()
    if shard:
        close()
