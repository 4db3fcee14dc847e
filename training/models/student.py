"""Open the model that learns: the base checkpoint with LoRA, or with all its weights unfrozen, as earlier runs left it.

Knows nothing about recipes, data or losses.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from training.models import precision as precisions
from training.models.checkpoint import add_lora, load_adapter, open_model
from training.models.compile_layers import compile_layers
from training.models.full_finetuning import load_full_adapter, unfreeze_weights
from training.runtime import allocator, distributed
from training.runtime.distributed import print_once


def open_student(
    base: Path,
    *,
    lora_rank: int,
    encoder_rank: int = 0,
    freeze_encoder: bool = False,
    full_finetuning: bool = False,
    start_adapters: Sequence[Path] = (),
    precision: str = "auto",
    torch_compile: bool = False,
    keep_freed_memory: bool = False,
    seed: int = 0,
) -> Any:
    """Return the Transformers model of the base checkpoint, ready to be trained, on the CPU.

    The arguments are the fields of `training.recipes.config.TrainConfig` of the same names. `seed` also seeds torch:
    the new LoRA weights are drawn. Raises ValueError if the arguments exclude one another, or if an adapter does not
    fit the model.
    """
    torch.manual_seed(seed)
    distributed.prepare_process()
    if keep_freed_memory:
        allocator.keep_freed_memory()
    if full_finetuning and encoder_rank:
        raise ValueError("--full-finetuning trains no LoRA, so --encoder-rank must be 0 with it")
    if freeze_encoder and not encoder_rank:
        raise ValueError("--freeze-encoder keeps the encoder's LoRA weights; --encoder-rank has to give their rank")
    model = open_model(base)
    model = unfreeze_weights(model) if full_finetuning else add_lora(model, lora_rank, encoder_rank, freeze_encoder)
    # FSDP and DeepSpeed need all weights in one type, and cast them themselves.
    if not (distributed.uses_fsdp() or distributed.uses_deepspeed()):
        precisions.cast_frozen_layers(model, precision)
    if distributed.uses_zero3():
        distributed.register_external_parameters(model)
    if torch_compile:
        print_once(f"{compile_layers(model)} layers to be compiled")
    load = load_full_adapter if full_finetuning else load_adapter
    copied = [load(model, file) for file in start_adapters]
    print_once(f"started from {list(zip(map(str, start_adapters), copied, strict=True))}")
    return model
