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

from training.families import family_by_model_type
from training.models.checkpoint import model_type_of, unwrap_peft


def compile_layers(model: Any) -> int:
    """Compile the layers of the model's language model, in place; returns how many there are.

    Raises ValueError without a C++ compiler on a CPU.
    """
    if not torch.cuda.is_available() and not any(map(shutil.which, ("g++", "clang++"))):
        raise ValueError("--compile needs a C++ compiler: g++ or clang++")
    family = family_by_model_type(model_type_of(model))
    layers: Any = unwrap_peft(model).get_submodule(family.language_model + "layers")
    for layer in layers:
        layer.forward = _compile_for_training(layer.forward)
    return len(layers)


def _compile_for_training(forward: Any) -> Any:
    compiled = torch.compile(forward, dynamic=True)

    @wraps(forward)
    def forward_compiled_or_eager(*given: Any, **named: Any) -> Any:
        return (compiled if torch.is_grad_enabled() else forward)(*given, **named)

    return forward_compiled_or_eager
