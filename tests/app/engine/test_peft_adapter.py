"""Which adapters are used as they are, which with other tensor names, and which are refused and why."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from app.engine.peft_adapter import CONFIG_FILE, WEIGHTS_FILE, UnusableAdapter, adapter_rank, prepare_adapter

WIDTH, INNER, RANK = 8, 12, 2
ON_DISK = "base_model.model.language_model.model.layers.0.mlp.up_proj"
AS_TRANSFORMERS = "base_model.model.model.language_model.layers.0.mlp.up_proj"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder with the weights that a model that hears has."""
    weights = {
        "language_model.model.layers.0.mlp.up_proj.weight": np.zeros((INNER, WIDTH), np.float32),
        "multi_modal_projector.linear_1.weight": np.zeros((WIDTH, WIDTH), np.float32),
    }
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    return folder


def adapter(folder: Path, module: str = ON_DISK, columns: int = WIDTH, rows: int = INNER, **config: Any) -> Path:
    """An adapter's folder with one pair."""
    folder.mkdir()
    pairs = {
        f"{module}.lora_A.weight": np.ones((RANK, columns), np.float32),
        f"{module}.lora_B.weight": np.full((rows, RANK), 2, np.float32),
    }
    save_file(pairs, folder / WEIGHTS_FILE)
    whole = {"peft_type": "LORA", "r": RANK, "lora_alpha": 4, "target_modules": "anything"} | config
    (folder / CONFIG_FILE).write_text(json.dumps(whole))
    return folder


def test_one_with_the_checkpoints_names_is_used_as_it_is(tmp_path: Path, checkpoint: Path) -> None:
    folder = adapter(tmp_path / "adapter")
    assert prepare_adapter(folder, checkpoint, tmp_path / "scratch") == folder


def test_transformers_names_become_the_checkpoints(tmp_path: Path, checkpoint: Path) -> None:
    folder = adapter(tmp_path / "adapter", AS_TRANSFORMERS)
    made = prepare_adapter(folder, checkpoint, tmp_path / "scratch")
    assert made == tmp_path / "scratch"
    before, after = load_file(folder / WEIGHTS_FILE), load_file(made / WEIGHTS_FILE)
    assert set(after) == {f"{ON_DISK}.lora_A.weight", f"{ON_DISK}.lora_B.weight"}
    for letter in "AB":
        end = f".lora_{letter}.weight"
        assert np.array_equal(after[ON_DISK + end], before[AS_TRANSFORMERS + end])
    config = json.loads((made / CONFIG_FILE).read_text())
    assert (config["target_modules"], config["r"], config["lora_alpha"]) == (["up_proj"], RANK, 4)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"module": "base_model.model.language_model.model.layers.7.mlp.up_proj"}, "fits no weight"),
        ({"module": "base_model.model.multi_modal_projector.linear_1", "rows": WIDTH}, "not on the language model"),
        ({"columns": WIDTH + 1}, "has shape"),
        ({"rows": INNER + 1}, "has shape"),
        ({"peft_type": "IA3"}, "is not a LoRA adapter"),
        ({"module": AS_TRANSFORMERS, "rank_pattern": {"layers.0": 1}}, "patterns"),
    ],
    ids=["another model's", "the projector's", "too wide", "too high", "no LoRA", "patterns"],
)
def test_what_would_be_passed_over_in_silence_is_refused(
    tmp_path: Path, checkpoint: Path, how: dict[str, Any], said: str
) -> None:
    folder = adapter(tmp_path / "adapter", **how)
    with pytest.raises(UnusableAdapter, match=said):
        prepare_adapter(folder, checkpoint, tmp_path / "scratch")


def test_whole_weights_beside_the_pairs_are_refused(tmp_path: Path, checkpoint: Path) -> None:
    folder = adapter(tmp_path / "adapter")
    tensors = load_file(folder / WEIGHTS_FILE)
    save_file(tensors | {f"{ON_DISK}.weight": np.zeros((INNER, WIDTH), np.float32)}, folder / WEIGHTS_FILE)
    with pytest.raises(UnusableAdapter, match="not a LoRA weight"):
        prepare_adapter(folder, checkpoint, tmp_path / "scratch")


def test_a_folder_that_holds_none_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(UnusableAdapter, match="is not an adapter as PEFT saves it"):
        prepare_adapter(tmp_path / "nowhere", checkpoint, tmp_path / "scratch")
    folder = adapter(tmp_path / "adapter")
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(UnusableAdapter, match=WEIGHTS_FILE):
        prepare_adapter(folder, checkpoint, tmp_path / "scratch")


def test_the_rank_is_the_highest_of_all_pairs(tmp_path: Path) -> None:
    assert adapter_rank(adapter(tmp_path / "one")) == RANK
    assert adapter_rank(adapter(tmp_path / "two", rank_pattern={"up_proj": 16})) == 16
    with pytest.raises(UnusableAdapter, match="has no rank"):
        adapter_rank(adapter(tmp_path / "three", r=None))
