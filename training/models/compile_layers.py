"""The language model's layers as compiled code, where `--compile` asks for it.

A layer is mostly small steps between its matrix products (norms, positions, LoRA's sums, casts), each of which goes
through memory once; `torch.compile` makes a few passes of them. Layers are alike, so that one is compiled, for all
lengths, and serves them all: a minute before the first step. With it a step of `sft` (four clips of 13 s, bfloat16
with AMX, two cores) took 1.8 s instead of 2.8 s (`results/compile-step.txt`). Only passes that are differentiated run
compiled: sampling, whose shapes change at every token, would have it compile anew. Knows nothing about losses.
"""

import shutil
from functools import wraps
from typing import Any

import torch

from training.families import family_named
from training.models.checkpoint import architecture_of, unwrapped


def compile_layers(model: Any) -> int:
    """Compile the layers of the model's language model, in place; returns how many there are.

    Raises ValueError without a C++ compiler on a CPU.
    """
    if not torch.cuda.is_available() and not any(map(shutil.which, ("g++", "clang++"))):
        raise ValueError("--compile needs a C++ compiler: g++ or clang++")
    family = family_named(architecture_of(model))
    layers: Any = unwrapped(model).get_submodule(family.language_model + "layers")
    for layer in layers:
        layer.forward = _when_differentiated(layer.forward)
    return len(layers)


def _when_differentiated(forward: Any) -> Any:
    compiled = torch.compile(forward, dynamic=True)

    @wraps(forward)
    def chosen(*given: Any, **named: Any) -> Any:
        return (compiled if torch.is_grad_enabled() else forward)(*given, **named)

    return chosen
