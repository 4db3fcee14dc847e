from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.core.prompts import SYSTEM_PROMPT
from tests.training.families.tiny_families import voxtral
from tests.training.tiny_checkpoints import noise
from training.families import family_by_model_type
from training.families.voxtral import SINUSOIDS_NAME, mistral_name, mistral_order
from training.kd.vllm_rollout import make_rollout
from training.models.checkpoint import open_model
from training.models.collate import build_collator
from training.models.export import export_copy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("voxtral")
    voxtral(out)
    return out


def test_the_question_holds_the_audio_and_then_all_that_the_service_says(folder: Path) -> None:
    family = family_by_model_type("voxtral")
    processor = family.processor(folder)
    ids, more = family.encode_question(processor, "Be brief.", noise(31))
    assert ids.count(24) == 2 * 375, "two windows of 30 s, 12.5 places a second"
    assert more["input_features"].shape == (2, 128, 3000)
    text = processor.tokenizer.decode(ids[len(ids) - ids[::-1].index(24) :])
    assert text == f"{SYSTEM_PROMPT}\nBe brief.[/INST]"


def test_heads_are_turned_as_mistral_turns_them() -> None:
    rows = torch.arange(8.0)[:, None]  # two heads of four
    name = "language_model.model.layers.0.self_attn.{}_proj.weight"
    assert mistral_order(name.format("q"), rows, {"q": 2, "k": 1})[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert mistral_order(name.format("v"), rows, {"q": 2, "k": 1}) is rows


def test_a_tensor_without_a_name_is_refused() -> None:
    assert mistral_name("audio_tower.layers.3.fc1.bias") == (
        "mm_whisper_embeddings.whisper_encoder.transformer.layers.3.feed_forward.w1.bias"
    )
    with pytest.raises(ValueError, match=r"audio_tower\.new\.weight has no name"):
        mistral_name("audio_tower.new.weight")


def test_an_export_makes_mistrals_weights_anew(folder: Path, tmp_path: Path) -> None:
    out = export_copy(folder, [], tmp_path / "out")
    ours, theirs = load_file(out / "model.safetensors"), load_file(out / "consolidated.safetensors")
    assert len(theirs) == len(ours) - 1
    assert torch.equal(theirs["norm.weight"], ours["language_model.model.norm.weight"])
    assert (out / "tekken.json").read_text() == (folder / "tekken.json").read_text()


def test_positions_that_vllm_would_not_load_are_refused(folder: Path, tmp_path: Path) -> None:
    base = export_copy(folder, [], tmp_path / "base")
    tensors = load_file(base / "model.safetensors")
    save_file(
        tensors | {SINUSOIDS_NAME: tensors[SINUSOIDS_NAME] + 0.1}, base / "model.safetensors", metadata={"format": "pt"}
    )
    with pytest.raises(ValueError, match=r"embed_positions\.weight are not sinusoids"):
        export_copy(base, [], tmp_path / "out")


def test_half_a_folder_is_refused_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    base = export_copy(folder, [], tmp_path / "base")
    (base / "params.json").unlink()
    with pytest.raises(ValueError, match=r"has no params\.json, without which vLLM cannot load it"):
        export_copy(base, [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_server_is_not_asked_to_sample_what_it_would_not_load(folder: Path) -> None:
    with pytest.raises(ValueError, match="keeps the old projector"):
        make_rollout(build_collator(folder, open_model(folder)), 1.0, "http://127.0.0.1:9", None)
