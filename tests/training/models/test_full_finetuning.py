from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from model_repo.assemble import LORA_A_SUFFIX, LORA_B_SUFFIX, merge_adapter
from tests.training.tiny_checkpoints import noise, record
from training.data.record import Record
from training.models.adapter_tensors import overlay_adapters
from training.models.checkpoint import LORA_SCALE, adapter_tensors, add_lora, load_adapter, open_model, save_adapter
from training.models.full_finetuning import load_full_adapter, unfreeze_weights
from training.recipes import dpo, sft
from training.recipes.config import TrainConfig

HOW: dict[str, Any] = {
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-3,
    "lora_rank": 4,
    "save_steps": 9,
    "logging_steps": 1,
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder = tmp_path_factory.mktemp("clips")
    said = [f"Caller {i} wants a pump." for i in range(2)]
    return [record(i, folder, noise(0.6, i), text, chosen=text, rejected="A garden.") for i, text in enumerate(said)]


@torch.no_grad()
def text_logits(model: Any) -> torch.Tensor:
    return model.eval()(input_ids=torch.arange(5, 40)[None]).logits


def lora(folder: Path, file: Path) -> Any:
    """An adapter with pairs that do something; returns the model that it is of."""
    model = add_lora(open_model(folder), 4)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.05)
    save_adapter(adapter_tensors(model), file)
    return model


def test_everything_learns_but_the_encoder(audio_folder: Path, rows: list[Record], tmp_path: Path) -> None:
    adapter = load_file(sft.train(audio_folder, rows, tmp_path / "run", TrainConfig(**HOW, full_finetuning=True)))
    base = load_file(audio_folder / "model.safetensors")
    assert set(adapter) == {name for name in base if not name.startswith("audio_tower.")}
    moved = {name for name, value in adapter.items() if (value != base[name]).any()}
    # The key's bias moves every score of a softmax alike.
    assert moved >= {name for name in adapter if "k_proj.bias" not in name}
    assert all(value.dtype == np.float32 for value in adapter.values())


def test_small_steps_are_not_lost(llama_folder: Path, tmp_path: Path) -> None:
    """Which float16 would: next to 0.1 it knows no number nearer than 6e-5."""
    model = unfreeze_weights(open_model(llama_folder))
    before = {name: value.copy() for name, value in adapter_tensors(model).items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1e-6)
    after = adapter_tensors(model)
    assert np.mean(after["model.layers.0.mlp.up_proj.weight"] != before["model.layers.0.mlp.up_proj.weight"]) > 0.99
    assert (
        np.mean(
            after["model.layers.0.mlp.up_proj.weight"].astype(np.float16)
            != before["model.layers.0.mlp.up_proj.weight"].astype(np.float16)
        )
        < 0.2
    )


def test_what_was_trained_whole_is_exported_and_is_where_the_next_run_starts(
    audio_folder: Path, rows: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = sft.train(audio_folder, rows, tmp_path / "run", TrainConfig(**HOW, full_finetuning=True))
    weights = merge_adapter(load_file(audio_folder / "model.safetensors"), overlay_adapters([file]), LORA_SCALE)
    started = unfreeze_weights(open_model(audio_folder))
    assert load_full_adapter(started, file) == len(load_file(file))
    again = adapter_tensors(started)
    for name, value in again.items():
        np.testing.assert_array_equal(weights[name], value)
    still = TrainConfig(**HOW | {"learning_rate": 0.0}, full_finetuning=True, start_adapters=[file])
    kept = load_file(dpo.train(audio_folder, rows, tmp_path / "dpo", still))
    for name, value in again.items():
        np.testing.assert_array_equal(kept[name], value)


def test_dpo_of_a_whole_model_starts_from_its_own_reference(
    llama_folder: Path, rows: list[Record], tmp_path: Path
) -> None:
    import json

    out = tmp_path / "run"
    dpo.train(llama_folder, rows, out, TrainConfig(**HOW | {"max_steps": 3}, full_finetuning=True))
    margins = [
        line["rewards/margins"] for line in json.loads((out / "log.json").read_text()) if "rewards/margins" in line
    ]
    assert float(margins[0]) == pytest.approx(0, abs=1e-5)
    assert float(margins[-1]) > 0.01


def test_pairs_are_merged_into_the_weights(llama_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "lora.safetensors"
    taught = lora(llama_folder, file)
    whole = open_model(llama_folder)
    untaught = text_logits(whole)
    assert load_full_adapter(whole, file) == 28
    change = (text_logits(taught) - untaught).abs().max()
    assert (text_logits(whole) - text_logits(taught)).abs().max() < 0.01 * change


def test_a_twin_trained_whole_fits_the_model_that_hears(audio_folder: Path, llama_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "twin.safetensors"
    save_adapter(adapter_tensors(unfreeze_weights(open_model(llama_folder))), file)
    hearing = open_model(audio_folder)
    assert (text_logits(hearing) - text_logits(open_model(llama_folder))).abs().max() > 0.1
    load_full_adapter(hearing, file)
    # The model that hears has biases, which the twin has not.
    state = hearing.state_dict()
    embedding = load_file(file)["model.embed_tokens.weight"]
    for name in ("model.language_model.embed_tokens.weight", "lm_head.weight"):
        np.testing.assert_array_equal(state[name].numpy(), embedding)


def test_what_fits_nothing_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    module = "model.layers.0.mlp.up_proj"
    pair = {module + LORA_A_SUFFIX: np.ones((2, 64), np.float16), module + LORA_B_SUFFIX: np.ones((96, 2), np.float16)}
    for tensors, said in (
        ({"model.layers.9.x": np.ones(3, np.float32)}, "fits no parameter"),
        ({module + ".weight": np.ones((2, 2), np.float32)}, "fits no parameter"),
        ({module + LORA_B_SUFFIX: pair[module + LORA_B_SUFFIX]}, "no lora_A.weight beside it"),
    ):
        save_file(tensors, file)
        with pytest.raises(ValueError, match=said):
            load_full_adapter(open_model(llama_folder), file)
    save_adapter(adapter_tensors(unfreeze_weights(open_model(llama_folder))), file)
    with pytest.raises(ValueError, match="fits no parameter"):
        load_adapter(add_lora(open_model(llama_folder), 2), file)


def test_a_pair_over_whole_weights_is_not_exported(tmp_path: Path) -> None:
    one, two = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    save_file({"up.weight": np.ones((3, 3), np.float32)}, one)
    save_file(
        {"up" + LORA_A_SUFFIX: np.ones((1, 3), np.float16), "up" + LORA_B_SUFFIX: np.ones((3, 1), np.float16)}, two
    )
    for files in ([one, two], [two, one]):
        with pytest.raises(ValueError, match=r"up\.weight as a whole and a low-rank pair"):
            overlay_adapters(files)
