import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.model_repo.fakes import SCALE, adapter
from training.models.merge_adapters import write_merged_copy


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Two files of weights, of which one is in half precision, and what else lies in such a folder."""
    folder = tmp_path / "base"
    (folder / "assets").mkdir(parents=True)
    save_file({"a.weight": torch.arange(12.0).reshape(4, 3).bfloat16()}, folder / "model-1-of-2.safetensors")
    save_file({"b.weight": torch.full((2, 2), 7.0), "c.weight": torch.ones(5)}, folder / "model-2-of-2.safetensors")
    save_file({"other.a": torch.ones(2)}, folder / "consolidated.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"the same, untrained")
    (folder / "config.json").write_text(json.dumps({"model_type": "fake"}))
    (folder / "assets" / "voice.txt").write_text("hello")
    return folder


def copy(base: Path, tensors: dict[str, Any] | None = None) -> Path:
    return write_merged_copy(
        base, adapter() if tensors is None else tensors, base.parent / "out", SCALE, ("consolidated.safetensors",)
    )


def test_each_file_is_copied_and_its_tensors_merged_in_their_own_precision(base: Path) -> None:
    out = copy(base)
    pair = adapter()
    product = pair["a.lora_B.weight"].astype(np.float64) @ pair["a.lora_A.weight"].astype(np.float64)
    first, second = (load_file(out / f"model-{i}-of-2.safetensors") for i in (1, 2))
    expected = torch.from_numpy(np.arange(12.0).reshape(4, 3) + SCALE * product)
    assert first["a.weight"].dtype == torch.bfloat16
    torch.testing.assert_close(first["a.weight"].double(), expected, rtol=2**-8, atol=1e-6)
    assert (first["a.weight"].double() - torch.arange(12.0).reshape(4, 3)).abs().max() > 0.1
    assert torch.equal(second["b.weight"], torch.from_numpy(pair["b.weight"].astype(np.float32)))
    assert torch.equal(second["c.weight"], torch.ones(5))
    assert json.loads((out / "config.json").read_text()) == {"model_type": "fake"}
    assert (out / "assets" / "voice.txt").read_text() == "hello"


def test_other_forms_of_the_untrained_weights_stay_behind(base: Path) -> None:
    assert sorted(file.name for file in copy(base).glob("*.*")) == [
        "config.json",
        "model-1-of-2.safetensors",
        "model-2-of-2.safetensors",
    ]


def test_what_fits_nothing_is_refused(base: Path) -> None:
    with pytest.raises(ValueError, match=r"d\.weight fits no tensor of .*base"):
        copy(base, adapter() | {"d.weight": np.ones(2, np.float16)})


def test_nothing_is_written_over(base: Path) -> None:
    copy(base)
    with pytest.raises(ValueError, match="out is not empty"):
        copy(base)


def test_a_folder_without_safetensors_is_refused_before_anything_is_written(base: Path) -> None:
    for file in base.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(ValueError, match="no safetensors file"):
        copy(base)
    assert not (base.parent / "out").exists()
