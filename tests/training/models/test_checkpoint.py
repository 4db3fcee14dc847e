import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoProcessor

from model_repo.architectures import BaseCheckpoint
from model_repo.assemble import merge_adapter, write_checkpoint
from tests.training.tiny_checkpoints import noise
from training.models.checkpoint import LORA_SCALE, adapter_tensors, add_lora, load_adapter, open_model, save_adapter

RANK = 4


def trained(folder: Path, seed: int = 1, encoder_rank: int = 0) -> Any:
    """A model with LoRA, all that trains moved to where training might bring it."""
    model = add_lora(open_model(folder), RANK, encoder_rank)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.05)
    return model.eval()


def assemble_folder(folder: Path, adapter: dict[str, Any], out: Path) -> Any:
    """The folder's checkpoint with the adapter merged, opened."""
    files = {name: (folder / name).read_text() for name in ("config.json", "tokenizer.json")}
    out.mkdir()
    write_checkpoint(
        BaseCheckpoint(merge_adapter(load_file(folder / "model.safetensors"), adapter, LORA_SCALE), files), out
    )
    return open_model(out).eval()


def inputs(folder: Path) -> dict[str, torch.Tensor]:
    processor = AutoProcessor.from_pretrained(folder)
    return dict(processor(text=["<|im_start|>user\n<file_sep>\nSummarize."], audio=[noise(2)]))


@torch.no_grad()
def logits(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**batch).logits


def test_a_merged_adapter_gives_what_training_saw(audio_folder: Path, tmp_path: Path) -> None:
    batch = inputs(audio_folder)
    model = trained(audio_folder)
    adapter = adapter_tensors(model)
    served = assemble_folder(audio_folder, adapter, tmp_path / "merged")
    before = logits(open_model(audio_folder).eval(), batch)
    seen, found = logits(model, batch), logits(served, batch)
    change = (seen - before).abs().max()
    # float16 has 11 bits: what rounding the adapter moves is a small part of what the adapter moves.
    assert (found - seen).abs().max() < 0.01 * change
    assert all(value.dtype == np.float16 for value in adapter.values())
    # The same token is the likeliest, wherever the second is further behind than rounding moves anything.
    best = seen.topk(2, dim=-1).values
    clear = best[..., 0] - best[..., 1] > 2 * (found - seen).abs().max()
    assert clear.any()
    assert torch.equal(found.argmax(-1)[clear], seen.argmax(-1)[clear])


def test_a_merged_text_adapter_gives_what_training_saw(llama_folder: Path, tmp_path: Path) -> None:
    batch = {"input_ids": torch.arange(5, 40)[None]}
    model = trained(llama_folder)
    served = assemble_folder(llama_folder, adapter_tensors(model), tmp_path / "merged")
    change = (logits(model, batch) - logits(open_model(llama_folder), batch)).abs().max()
    assert (logits(served, batch) - logits(model, batch)).abs().max() < 0.01 * change


def test_an_encoder_that_learned_is_merged_too(audio_folder: Path, tmp_path: Path) -> None:
    batch = inputs(audio_folder)
    model = trained(audio_folder, encoder_rank=2 * RANK)
    adapter = adapter_tensors(model)
    pairs = {name: value.shape for name, value in adapter.items() if name.startswith("audio_tower.")}
    assert len(pairs) == 2 * 6 * 2, "A and B, six projections, two layers"
    assert all(2 * RANK in shape for shape in pairs.values())
    served = assemble_folder(audio_folder, adapter, tmp_path / "merged")
    without = {name: value for name, value in adapter.items() if name not in pairs}
    seen, found = logits(model, batch), logits(served, batch)
    moved = (seen - logits(assemble_folder(audio_folder, without, tmp_path / "without"), batch)).abs().max()
    assert moved > 1e-4
    assert (found - seen).abs().max() < 0.02 * moved
    again = add_lora(open_model(audio_folder), RANK, 2 * RANK)
    save_adapter(adapter, tmp_path / "adapter.safetensors")
    assert load_adapter(again, tmp_path / "adapter.safetensors") == len(adapter)


def test_an_encoder_that_has_learned_can_be_left_as_it_is(audio_folder: Path) -> None:
    model = add_lora(open_model(audio_folder), RANK, 2, freeze_encoder=True)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert not [name for name in trained if "audio_tower" in name]
    assert len(trained) == 4 + 2 * 7 * 2
    assert [name for name in adapter_tensors(model) if name.startswith("audio_tower.")], "they are kept all the same"


def test_an_encoder_that_stays_as_it_is(llama_folder: Path) -> None:
    with pytest.raises(ValueError, match="--encoder-rank"):
        add_lora(open_model(llama_folder), RANK, 4)


def test_the_projector_and_lora_train_and_nothing_else(audio_folder: Path) -> None:
    model = add_lora(open_model(audio_folder), RANK)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    projector = [name for name in names if "multi_modal_projector" in name]
    lora = [name for name in names if "lora_" in name]
    assert len(projector) == 4
    assert len(lora) == 2 * 7 * 2  # A and B, seven projections, two layers
    assert set(names) == {*projector, *lora}
    assert not [name for name in names if "audio_tower" in name]


def test_an_adapter_comes_back(audio_folder: Path, tmp_path: Path) -> None:
    model = trained(audio_folder)
    file = tmp_path / "new" / "adapter.safetensors"
    save_adapter(adapter_tensors(model), file)
    fresh = add_lora(open_model(audio_folder), RANK).eval()
    assert load_adapter(fresh, file) == len(load_file(file)) == 4 + 28
    restored = adapter_tensors(fresh)
    for name, value in load_file(file).items():
        np.testing.assert_array_equal(restored[name], value)
    batch = inputs(audio_folder)
    torch.testing.assert_close(logits(fresh, batch), logits(model, batch), atol=2e-2, rtol=0)


def test_a_twins_adapter_fits_the_model_that_hears(audio_folder: Path, llama_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "adapter.safetensors"
    adapter = adapter_tensors(trained(llama_folder))
    save_adapter(adapter, file)
    model = add_lora(open_model(audio_folder), RANK)
    assert load_adapter(model, file) == len(adapter) == 28
    taken = adapter_tensors(model)
    for name, value in adapter.items():
        np.testing.assert_array_equal(taken[f"language_model.{name}"], value)


def test_a_twin_takes_the_language_models_part_of_an_adapter(
    audio_folder: Path, llama_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "adapter.safetensors"
    adapter = adapter_tensors(trained(audio_folder))
    save_adapter(adapter, file)
    model = add_lora(open_model(llama_folder), RANK)
    assert load_adapter(model, file) == 28, "the projector is left"
    taken = adapter_tensors(model)
    for name, value in taken.items():
        np.testing.assert_array_equal(adapter[f"language_model.{name}"], value)


@pytest.mark.parametrize("change", ["another rank", "an unknown tensor"])
def test_an_adapter_of_another_shape_is_refused(change: str, audio_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "adapter.safetensors"
    if change == "another rank":
        save_adapter(adapter_tensors(add_lora(open_model(audio_folder), RANK + 1)), file)
    else:
        save_file({"audio_tower.conv9.weight": np.ones(3, np.float16)}, file)
    with pytest.raises(ValueError, match="fits no parameter"):
        load_adapter(add_lora(open_model(audio_folder), RANK), file)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_a_diverged_model_is_not_saved(value: float, audio_folder: Path) -> None:
    model = add_lora(open_model(audio_folder), RANK)
    with torch.no_grad():
        next(p for n, p in model.named_parameters() if "linear_1.weight" in n)[0, 0] = value
    with pytest.raises(ValueError, match=r"linear_1\.weight.*diverged"):
        adapter_tensors(model)


@pytest.mark.parametrize("change", ["missing", "left over"])
def test_a_checkpoint_with_a_tensor_missing_or_left_over_is_not_opened(
    change: str, audio_folder: Path, tmp_path: Path
) -> None:
    tensors = load_file(audio_folder / "model.safetensors")
    if change == "missing":
        del tensors["multi_modal_projector.linear_1.weight"]
    else:
        tensors["multi_modal_projector.linear_9.weight"] = np.ones((2, 2), np.float32)
    config = json.loads((audio_folder / "config.json").read_text())
    write_checkpoint(BaseCheckpoint(tensors, {"config.json": json.dumps(config)}), tmp_path)
    with pytest.raises(ValueError, match=r"does not fit AudioFlamingo3.*multi_modal_projector\.linear_[19]"):
        open_model(tmp_path)
