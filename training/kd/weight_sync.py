"""A student's current weights with LoRA merged: in the form that an engine loads, under the names of the assembled
checkpoint, or as a second model in this process.

Knows nothing about servers.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor

from training.families import family_by_model_type
from training.models.checkpoint import PEFT_PREFIX, checkpoint_parameter_name, model_type_of, unwrap_peft
from training.models.merge_adapters import WEIGHT_PATTERNS

SHARD_BYTES = 1 << 30  # a file's tensors are copied into memory before it is written


def merged_tensors(model: Any, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Yield name and value of every tensor of the assembled checkpoint, on the CPU. Floating-point values have the type
    `dtype`. The model does not change.
    """
    architecture = model_type_of(model)
    for name, value in tensors_without_lora(model):
        numbers = dtype if value.is_floating_point() else value.dtype  # batch normalization has an integer counter
        yield checkpoint_parameter_name(architecture, name), value.to("cpu", numbers).contiguous()


@torch.no_grad()
def tensors_without_lora(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield Transformers' name and the value of every tensor of the model with LoRA merged, on the model's device.

    Projections are `W + scale · B·A` as PEFT computes it: up to rounding, what `model_repo.assemble` serves.
    """
    pairs: dict[str, Any] = {name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}
    for name, value in model.state_dict().items():
        if ".lora_" in name:
            continue
        module, found, rest = name.rpartition(".base_layer.")
        if found and rest == "weight":
            value = value.float() + pairs[module].get_delta_weight("default").float()
        yield name.removeprefix(PEFT_PREFIX).replace(".base_layer.", "."), value


def write_weights(model: Any, folder: Path, dtype: torch.dtype, shard_bytes: int = SHARD_BYTES) -> None:
    """Write the tensors that a running server loads into the folder, as safetensors files of about `shard_bytes` each.
    Their names are those that vLLM loads: the names in the checkpoint's files for most families, Mistral's for Voxtral.
    """
    family, config = family_by_model_type(model_type_of(model)), unwrap_peft(model).config
    shard: dict[str, Tensor] = {}
    number = 0

    def close() -> None:
        nonlocal number
        number += 1
        file = folder / f"{family.weight_files}-{number:05}.safetensors"
        save_file(shard, file, metadata={"format": "pt"})
        file.chmod(0o644)  # safetensors makes the file private; a server may run as another user
        shard.clear()

    for name, value in merged_tensors(model, dtype):
        loaded = family.vllm_tensor(name, value, config)
        if loaded is None or loaded[0].startswith(family.unsynced_prefixes):
            continue
        shard[loaded[0]] = loaded[1].contiguous()
        if sum(tensor.nbytes for tensor in shard.values()) >= shard_bytes:
            close()
    if shard:
        close()


def copy_companions(base: Path, folder: Path) -> None:
    """Copy the checkpoint's small files (configuration, tokenizer, processor) into the folder of the weights. A vLLM
    server that runs in one process looks for them there after it has loaded the weights.
    """
    for file in base.iterdir():
        if file.is_file() and not any(file.match(pattern) for pattern in WEIGHT_PATTERNS):
            copyfile(file, folder / file.name)


@dataclass
class MergedCopy:
    """A second model with the student's weights and LoRA merged. It samples faster, because each projection is one
    product instead of three and its weights have the type in which it computes. It needs the memory of another model.

    Attributes:
        dtype: type of its weights.
        model: the model, once `update_from` has been called.
    """

    dtype: torch.dtype
    model: Any = None

    @torch.no_grad()
    def update_from(self, student: Any) -> Any:
        """Copy the student's current weights, and return the copy. Raises ValueError for a student without LoRA."""
        if self.model is None:
            if not isinstance(student, PeftModel):
                raise ValueError("--rollout-copy merges LoRA, and this student has none")
            self.model = deepcopy(student).merge_and_unload().requires_grad_(False).to(self.dtype).eval()
        mine = self.model.state_dict()  # refers to the weights themselves
        for name, value in tensors_without_lora(student):
            mine[name].copy_(value)
        return self.model
