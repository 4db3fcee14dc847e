"""One model trained by several processes, as `accelerate launch` starts them: who is the first, how many there are, and
tensors whose parts lie in several of them (FSDP2, ZeRO).

Knows nothing about recipes. What is called *collective* must be called by all processes, in the same order, or they
wait for one another for ever.
"""

import os
from typing import Any

import torch
from torch import distributed
from torch.distributed.tensor import DTensor, distribute_tensor


def world_size() -> int:
    """How many processes train this model."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This one's number, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_main_process() -> bool:
    """Whether this is the one that writes and prints."""
    return rank() == 0


def print_once(text: str) -> None:
    """Print, once for all processes."""
    if is_main_process():
        print(text, flush=True)


def barrier() -> None:
    """Until all have come here. Collective."""
    if distributed.is_initialized():
        distributed.barrier()


def uses_fsdp() -> bool:
    """Whether the launcher asked for FSDP."""
    return _environment_flag("ACCELERATE_USE_FSDP")


def uses_deepspeed() -> bool:
    """Whether the launcher asked for DeepSpeed."""
    return _environment_flag("ACCELERATE_USE_DEEPSPEED")


def uses_zero3() -> bool:
    """Whether it asked for ZeRO's third stage, which shards the parameters too."""
    return uses_deepspeed() and os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") == "3"


def parameters_are_sharded() -> bool:
    """Whether each process holds but a part of every parameter: a forward pass of one needs all the others."""
    return world_size() > 1 and (uses_fsdp() or uses_zero3())


def is_launched() -> bool:
    """Whether a launcher started this process, as one of several or by itself."""
    return "RANK" in os.environ


def prepare_process() -> None:
    """Before a model is opened: this process's GPU is the one meant by "cuda", and the model is to be read whole, which
    it would not be if an earlier run in this process had ZeRO-3 shard what is opened.
    """
    if is_launched() and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if uses_zero3():
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()


def register_external_parameters(model: Any) -> None:
    """Tell ZeRO-3, which gathers a module's parameters when the module runs, of those that are read from outside: an
    encoder takes the weight of its `embed_positions` and never calls it.
    """
    from deepspeed.runtime.zero import register_external_parameter

    for module in model.modules():
        if isinstance(positions := getattr(module, "embed_positions", None), torch.nn.Embedding):
            register_external_parameter(module, positions.weight)


def full_parameter(parameter: torch.Tensor) -> torch.Tensor:
    """All of a trained parameter, float32, on the CPU. Collective if its parts lie in several processes.

    Under DeepSpeed in bfloat16 it is the optimizer's float32 copy: the parameter itself is its rounding.
    """
    if isinstance(parameter, DTensor):
        found: Any = parameter.full_tensor().detach()
    elif hasattr(parameter, "ds_id") or hasattr(parameter, "_hp_mapping"):
        from deepspeed.utils import safe_get_full_fp32_param

        found = safe_get_full_fp32_param(parameter)
    else:
        found = parameter.detach()
    return found.float().cpu()


def set_parameter(parameter: torch.Tensor, value: torch.Tensor) -> None:
    """Give a parameter, of which this process may hold but a part, its whole value. Collective as above."""
    if isinstance(parameter, DTensor):
        value = distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
    parameter.copy_(value)


def _environment_flag(variable: str) -> bool:
    return os.environ.get(variable, "false").lower() in ("1", "true", "yes")
