"""Cut the decoder from OpenAI's Whisper file. The decoder is four fifths of the file, and training does not use it.

The new file holds the same tensors of the encoder, bit for bit; this is checked. `speechsum-train export --folder-only
FOLDER --parts …` builds checkpoints from it.
"""

from pathlib import Path

import numpy as np
import torch

from model_repo import whisper_encoder


def cut_encoder(whole: Path, out: Path) -> None:
    """Write the encoder's tensors of OpenAI's `.pt` file `whole` as a `.pt` file `out`. Raises ValueError if `out` does
    not hold the same tensors.
    """
    state = torch.load(whole, map_location="cpu", weights_only=True)["model_state_dict"]
    encoder = {name: value.clone() for name, value in state.items() if name.startswith("encoder.")}
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model_state_dict": encoder}, out)
    before, after = whisper_encoder.encoder_tensors(whole), whisper_encoder.encoder_tensors(out)
    if not after or before.keys() != after.keys() or not all(np.array_equal(before[k], after[k]) for k in before):
        raise ValueError(f"{out} does not hold the encoder of {whole}")
