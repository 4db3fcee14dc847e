from pathlib import Path

import numpy as np
import pytest
import torch

from model_repo import whisper_encoder
from tools.offline_gpu.cut_whisper_encoder import cut_encoder


def whisper(file: Path, **more: torch.Tensor) -> Path:
    state = {"encoder.ln_post.weight": torch.arange(4.0).half(), "decoder.ln.weight": torch.ones(1000)} | more
    torch.save({"model_state_dict": state, "dims": {"n_mels": 80}}, file)
    return file


def test_the_cut_file_reads_as_the_whole_one_and_is_smaller(tmp_path: Path) -> None:
    whole = whisper(tmp_path / "whole.pt")
    cut_encoder(whole, tmp_path / "part" / "encoder.pt")
    found = whisper_encoder.encoder_tensors(tmp_path / "part" / "encoder.pt")
    assert {name: value.tolist() for name, value in found.items()} == {"layer_norm.weight": [0, 1, 2, 3]}
    assert found["layer_norm.weight"].dtype == np.float32
    assert (tmp_path / "part" / "encoder.pt").stat().st_size < whole.stat().st_size - 3000


def test_a_file_without_an_encoder_is_refused(tmp_path: Path) -> None:
    torch.save({"model_state_dict": {"decoder.ln.weight": torch.ones(3)}}, tmp_path / "whole.pt")
    with pytest.raises(ValueError, match="does not hold the encoder"):
        cut_encoder(tmp_path / "whole.pt", tmp_path / "encoder.pt")
