from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from model_repo.manifest import Adapter
from tests.model_repo.fakes import manifest
from training.__main__ import main
from training.models.split_adapter import split_adapter, write_split_adapter

ENCODER = "audio_tower.layers.2.fc1.lora_A.weight"
PROJECTOR = "multi_modal_projector.linear_1.weight"
WORDS = "language_model.model.layers.0.mlp.up_proj.lora_A.weight"
TWIN = "model.layers.0.mlp.up_proj.lora_A.weight"


def tensors(*names: str) -> dict[str, np.ndarray]:
    return {name: np.full((2, 2), len(name), np.float16) for name in names}


def test_the_encoders_share_lies_below_and_the_rest_is_where_to_begin() -> None:
    below, start = split_adapter("audioflamingo3", tensors(ENCODER, PROJECTOR, WORDS))
    assert (below.keys(), start.keys()) == ({ENCODER}, {PROJECTOR, WORDS})


def test_a_text_model_has_nothing_below() -> None:
    below, start = split_adapter("llama", tensors(TWIN))
    assert (below.keys(), start.keys()) == (set(), {TWIN})


def test_both_are_written_beside_the_folder(tmp_path: Path) -> None:
    version = manifest("tiny", "1")
    version.architecture, version.adapter = "audioflamingo3", Adapter(sha256="0" * 64, scale=2)
    version.write(tmp_path / "tiny" / "1")
    save_file(tensors(ENCODER, PROJECTOR, WORDS), version.folder / "adapter.safetensors")
    below, start = write_split_adapter(version, tmp_path / "next")
    assert start == tmp_path / "next.start.safetensors"
    assert load_file(start).keys() == {PROJECTOR, WORDS}
    assert [load_file(file).keys() for file in below] == [{ENCODER}]
    assert not (tmp_path / "next").exists(), "a folder's own files are a checkpoint's"


def test_a_version_without_an_adapter_cannot_be_taken_up(tmp_path: Path) -> None:
    version = manifest("tiny", "1")
    version.adapter = None
    with pytest.raises(ValueError, match="no adapter"):
        write_split_adapter(version, tmp_path / "next")


def test_it_needs_a_folder() -> None:
    with pytest.raises(ValueError, match="--folder-only"):
        main(["export", "--take-up", "speechsum-tiny"])
