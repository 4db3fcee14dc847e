"""Reads Whisper's encoder from OpenAI's `.pt` file, under Hugging Face names, without running any code of the file.

Sources: the key names of openai-whisper's `AudioEncoder` and of Transformers' `WhisperEncoder`.
`torch.load(weights_only=True)` reads tensors only.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_KEY_RENAMES = (
    ("blocks.", "layers."),
    ("attn_ln", "self_attn_layer_norm"),
    ("attn.query", "self_attn.q_proj"),
    ("attn.key", "self_attn.k_proj"),
    ("attn.value", "self_attn.v_proj"),
    ("attn.out", "self_attn.out_proj"),
    ("mlp_ln", "final_layer_norm"),
    ("mlp.0", "fc1"),
    ("mlp.2", "fc2"),
    ("ln_post", "layer_norm"),
    ("positional_embedding", "embed_positions.weight"),
)


def encoder_tensors(file: Path) -> dict[str, NDArray[np.float32]]:
    """Return the encoder's weights as float32, under their Transformers names: `conv1.weight`,
    `layers.0.self_attn.q_proj.weight`, …
    """
    import torch

    state = torch.load(file, map_location="cpu", weights_only=True)["model_state_dict"]
    tensors: dict[str, NDArray[np.float32]] = {}
    for key, value in state.items():
        if not key.startswith("encoder."):
            continue
        name = key.removeprefix("encoder.")
        for old, new in _KEY_RENAMES:
            name = name.replace(old, new)
        tensors[name] = np.ascontiguousarray(value.float().numpy())
    return tensors
