import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from model_repo.parts import fetch_part
from model_repo.whisper_encoder import encoder_tensors


def encoder() -> WhisperEncoder:
    return WhisperEncoder(
        WhisperConfig(d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536, num_mel_bins=80)
    ).eval()


def test_the_weights_are_those_of_transformers_encoder() -> None:
    (file,) = fetch_part("whisper-tiny-en").iterdir()
    found = encoder_tensors(file)
    model = encoder()
    assert {k: tuple(v.shape) for k, v in model.state_dict().items()} == {k: v.shape for k, v in found.items()}
    assert {v.dtype for v in found.values()} == {np.dtype(np.float32)}
    # What a Whisper encoder's positions are (sinusoids, Radford et al. 2022, section 2.2) shows them to be in place.
    time, rate = np.arange(1500)[:, None], np.exp(-np.log(10_000) / 191 * np.arange(192))[None]
    sinusoids = np.concatenate([np.sin(time * rate), np.cos(time * rate)], axis=1)
    np.testing.assert_allclose(found["embed_positions.weight"], sinusoids, atol=2e-3)


class Trap:
    """Writes a file when unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def test_a_file_that_carries_code_is_refused_unrun(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    torch.save({"model_state_dict": {"encoder.x": Trap(trap)}}, tmp_path / "evil.pt")
    with pytest.raises(pickle.UnpicklingError, match=r"[Ww]eights only"):
        encoder_tensors(tmp_path / "evil.pt")
    assert not trap.exists()
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert trap.exists(), "the trap itself must work, or this test shows nothing"


def test_the_decoder_is_left_out(tmp_path: Path) -> None:
    state = {"encoder.blocks.0.attn.query.weight": torch.ones(2, 2).half(), "decoder.ln.weight": torch.ones(2)}
    torch.save({"model_state_dict": state}, tmp_path / "small.pt")
    found = encoder_tensors(tmp_path / "small.pt")
    assert list(found) == ["layers.0.self_attn.q_proj.weight"]
    assert found["layers.0.self_attn.q_proj.weight"].dtype == np.float32
