import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model_repo import whisper_encoder
from training.gpu.base import cut


def whisper(file: Path, **more: torch.Tensor) -> Path:
    state = {"encoder.ln_post.weight": torch.arange(4.0).half(), "decoder.ln.weight": torch.ones(1000)} | more
    torch.save({"model_state_dict": state, "dims": {"n_mels": 80}}, file)
    return file


def test_the_cut_file_reads_as_the_whole_one_and_is_smaller(tmp_path: Path) -> None:
    whole = whisper(tmp_path / "whole.pt")
    cut(whole, tmp_path / "part" / "encoder.pt")
    found = whisper_encoder.tensors(tmp_path / "part" / "encoder.pt")
    assert {name: value.tolist() for name, value in found.items()} == {"layer_norm.weight": [0, 1, 2, 3]}
    assert found["layer_norm.weight"].dtype == np.float32
    assert (tmp_path / "part" / "encoder.pt").stat().st_size < whole.stat().st_size - 3000


def test_a_file_without_an_encoder_is_refused(tmp_path: Path) -> None:
    torch.save({"model_state_dict": {"decoder.ln.weight": torch.ones(3)}}, tmp_path / "whole.pt")
    with pytest.raises(ValueError, match="does not hold the encoder"):
        cut(tmp_path / "whole.pt", tmp_path / "encoder.pt")


def test_a_base_is_built_from_parts_that_lie_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from model_repo.architectures import Base
    from training.checkpoint import save_adapter
    from training.gpu import base

    asked: dict[str, Path] = {}

    def builder(parts: dict[str, Path]) -> Base:
        asked.update(parts)
        return Base({"model.x.weight": np.zeros((2, 3), np.float32)}, {"config.json": json.dumps({"a": 1})})

    monkeypatch.setitem(base.BUILDERS, "llama", builder)
    pair = {"model.x.lora_A.weight": np.ones((1, 3), np.float16), "model.x.lora_B.weight": np.ones((2, 1), np.float16)}
    save_adapter(pair, tmp_path / "adapter.safetensors")
    arguments = ["build", str(tmp_path), "llama", str(tmp_path / "out"), str(tmp_path / "adapter.safetensors")]
    assert base.main(arguments) == 0
    assert asked == {"smollm2-135m-instruct-q4_1": tmp_path / "smollm2-135m-instruct-q4_1"}
    from safetensors.numpy import load_file

    assert load_file(tmp_path / "out" / "model.safetensors")["model.x.weight"].tolist() == [[2, 2, 2]] * 2
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == {"a": 1}
