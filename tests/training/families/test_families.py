import json
from pathlib import Path

import pytest

from training.families import FAMILIES, UnknownFamily, family_by_model_type, family_of_folder


def test_a_folder_is_known_by_its_model_type(audio_folder: Path, llama_folder: Path) -> None:
    assert family_of_folder(audio_folder) is FAMILIES["audioflamingo3"]
    assert family_of_folder(llama_folder) is FAMILIES["llama"]
    assert (family_of_folder(audio_folder).takes_audio, family_of_folder(llama_folder).takes_audio) == (True, False)


def test_an_unknown_type_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UnknownFamily, match="'bert' cannot be trained; these can: audioflamingo3, "):
        family_of_folder(tmp_path)
    with pytest.raises(UnknownFamily, match=r"has no config\.json"):
        family_of_folder(tmp_path / "nowhere")


def test_a_name_on_disk_is_that_of_its_longest_known_prefix() -> None:
    heard = family_by_model_type("audioflamingo3")
    assert heard.checkpoint_name("model.language_model.layers.0.mlp.up_proj.weight") == (
        "language_model.model.layers.0.mlp.up_proj.weight"
    )
    assert heard.checkpoint_name("model.audio_tower.conv1.bias") == "audio_tower.conv1.bias"
    assert heard.checkpoint_name("lm_head.weight") == "language_model.lm_head.weight"
    assert family_by_model_type("llama").checkpoint_name("model.norm.weight") == "model.norm.weight"


def test_a_twins_tensor_lies_where_the_language_model_does() -> None:
    name = "model.layers.0.mlp.up_proj.lora_A.weight"
    assert family_by_model_type("audioflamingo3").name_from_text_model(name) == f"language_model.{name}"
    assert family_by_model_type("llama").name_from_text_model(name) == name
