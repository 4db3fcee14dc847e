"""Training of one model by several processes, as `accelerate launch` starts them: which process is the first, how many
there are, and tensors whose parts are in several processes (FSDP2, ZeRO).

Knows nothing about recipes. torch is imported late, because what only checks and writes data needs none of it. A
function that is called *collective* has to be called by all processes, in the same order; otherwise they wait for one
another forever.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def world_size() -> int:
    """Return how many processes train this model."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_main_process() -> bool:
    """Return whether this process is the first, which writes files and prints."""
    return rank() == 0


def print_once(text: str) -> None:
    """Print the text, in the first process only."""
    if is_main_process():
        print(text, flush=True)


def barrier() -> None:
    """Wait until all processes have called this. Collective."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.barrier()


def uses_fsdp() -> bool:
    """Return whether the launcher asked for FSDP."""
    return _environment_flag("ACCELERATE_USE_FSDP")


def uses_deepspeed() -> bool:
    """Return whether the launcher asked for DeepSpeed."""
    return _environment_flag("ACCELERATE_USE_DEEPSPEED")


def uses_zero3() -> bool:
    """Return whether the launcher asked for DeepSpeed's ZeRO-3, which shards the parameters."""
    return uses_deepspeed() and os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") == "3"


def parameters_are_sharded() -> bool:
    """Return whether each process has only a part of every parameter, so that a forward pass needs all processes."""
    return world_size() > 1 and (uses_fsdp() or uses_zero3())


def is_launched() -> bool:
    """Return whether a launcher started this process, as one of several or as the only one."""
    return "RANK" in os.environ


def prepare_process() -> None:
    """Prepare for opening a model: "cuda" becomes the GPU of this process, and a ZeRO-3 setting of an earlier run in
    this process is removed, because it would shard the model while it is opened.
    """
    from torch import cuda

    if is_launched() and cuda.is_available():
        cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if uses_zero3():
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()


def register_external_parameters(model: Any) -> None:
    """Register with ZeRO-3 the parameters that are read without their module being called: an encoder reads the weight
    of its `embed_positions`. ZeRO-3 gathers the parameters of a module only when the module is called.
    """
    from deepspeed.runtime.zero import register_external_parameter
    from torch.nn import Embedding

    for module in model.modules():
        if isinstance(positions := getattr(module, "embed_positions", None), Embedding):
            register_external_parameter(module, positions.weight)


def full_parameter(parameter: "Tensor") -> "Tensor":
    """Return the whole value of a trained parameter, float32, on the CPU. Collective if the parameter is sharded.

    Under DeepSpeed in bfloat16 this is the optimizer's float32 copy; the parameter itself is rounded.
    """
    from torch.distributed.tensor import DTensor

    if isinstance(parameter, DTensor):
        found: Any = parameter.full_tensor().detach()
    elif hasattr(parameter, "ds_id") or hasattr(parameter, "_hp_mapping"):
        from deepspeed.utils import safe_get_full_fp32_param

        found = safe_get_full_fp32_param(parameter)
    else:
        found = parameter.detach()
    return found.float().cpu()


def set_parameter(parameter: "Tensor", value: "Tensor") -> None:
    """Set a parameter, of which this process may have only a part, to the whole value. Collective if it is sharded."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(parameter, DTensor):
        value = distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
    parameter.copy_(value)


def _environment_flag(variable: str) -> bool:
    return os.environ.get(variable, "false").lower() in ("1", "true", "yes")
