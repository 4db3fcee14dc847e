"""Whisper's encoder alone, out of OpenAI's file: four fifths of that are a decoder that nothing here uses.

The cut file holds the same encoder tensors bit for bit (checked when it is cut), and travels under the digest its
packer took. `speechsum-train export --folder-only FOLDER --parts …` builds from it.
"""

from pathlib import Path

import numpy as np
import torch

from model_repo import whisper_encoder


def cut_encoder(whole: Path, out: Path) -> None:
    """Write the encoder's tensors of OpenAI's `.pt` file as such a file. Raises ValueError if they read differently."""
    state = torch.load(whole, map_location="cpu", weights_only=True)["model_state_dict"]
    encoder = {name: value.clone() for name, value in state.items() if name.startswith("encoder.")}
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model_state_dict": encoder}, out)
    before, after = whisper_encoder.encoder_tensors(whole), whisper_encoder.encoder_tensors(out)
    if not after or before.keys() != after.keys() or not all(np.array_equal(before[k], after[k]) for k in before):
        raise ValueError(f"{out} does not hold the encoder of {whole}")
