"""An architecture before anything is trained on it: tensors by name, and the small files beside them."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[np.float32] | NDArray[np.float16]]


@dataclass(frozen=True)
class BaseCheckpoint:
    """Weights and companion files (name → text) of an architecture before training."""

    tensors: Tensors
    files: dict[str, str]


def json_text(value: dict[str, Any]) -> str:
    """Return the text of a companion file: indented JSON that ends with a line break."""
    return json.dumps(value, indent=2) + "\n"
