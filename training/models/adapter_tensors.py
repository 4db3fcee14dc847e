"""What an export makes of the adapters of several runs: one adapter that holds all of them, at a share of its strength.

Knows nothing about the weights that they belong to.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from model_repo.assemble import LORA_A_SUFFIX, LORA_B_SUFFIX


def overlay_adapters(adapters: list[Path]) -> dict[str, NDArray[np.float16]]:
    """Return the tensors of the adapters. A whole tensor of a later file replaces that of an earlier one.

    Raises ValueError if two files have a low-rank pair for the same module, or one a pair and one the whole weight: a
    pair is valid only for the weights it was trained on.
    """
    out: dict[str, NDArray[np.float16]] = {}
    for file in adapters:
        tensors = load_file(file)
        if twice := sorted(
            name for name in tensors.keys() & out.keys() if name.endswith((LORA_A_SUFFIX, LORA_B_SUFFIX))
        ):
            raise ValueError(
                f"{file} and an earlier file both have {twice[0]}: start the later run from the earlier one"
            )
        out |= tensors
    for name in out:
        if name.endswith(LORA_A_SUFFIX) and (whole := name.removesuffix(LORA_A_SUFFIX) + ".weight") in out:
            raise ValueError(
                f"the adapters have {whole} as a whole and a low-rank pair for it, which was trained on other weights: "
                "export the whole one with --folder-only and train the pair from there"
            )
    return out


def weaken_adapter(tensors: dict[str, NDArray[np.float16]], share: float) -> dict[str, NDArray[np.float16]]:
    """Return the tensors of an adapter that changes the weights by a share (0 to 1) of what these do.

    Weights between those of the base and those of the training often keep more of what the base knows of inputs that
    the training had none of, at little cost elsewhere (Wortsman et al., Robust fine-tuning of zero-shot models,
    arXiv 2109.01903). Raises ValueError if the adapter has whole tensors, of which the base's are not known here.
    """
    if share == 1:
        return tensors
    if whole := [name for name in tensors if not name.endswith((LORA_A_SUFFIX, LORA_B_SUFFIX))]:
        raise ValueError(f"--share is for low-rank pairs alone, and the adapter has {whole[0]} as a whole")
    return {
        name: (tensor * share).astype(tensor.dtype) if name.endswith(LORA_B_SUFFIX) else tensor
        for name, tensor in tensors.items()
    }
