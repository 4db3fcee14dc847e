"""Compiled layers of the language model, if `--torch-compile` asks for them.

A layer is mostly small operations between its matrix products (norms, positions, LoRA's sums, casts), and each of them
passes through memory once; `torch.compile` turns them into a few passes. All layers are alike, so one is compiled, for
all lengths: a minute before the first step. With it a step of `sft` (four clips of 13 s, bfloat16 with AMX, two cores)
took 1.8 s instead of 2.8 s (`results/compile-step.txt`). Only forward passes with gradients run compiled code, because
sampling has another shape at every token and would compile again for each. Knows nothing about losses.
"""

import shutil
from functools import wraps
from typing import Any

import torch

from training.families import family_by_model_type
from training.models.checkpoint import model_type_of, unwrap_peft


def compile_layers(model: Any) -> int:
    """Compile the layers of the language model, in place, and return how many there are.

    Raises ValueError on a CPU without a C++ compiler.
    """
    if not torch.cuda.is_available() and not any(map(shutil.which, ("g++", "clang++"))):
        raise ValueError("--torch-compile needs a C++ compiler: g++ or clang++")
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
