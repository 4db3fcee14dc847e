"""What is read off a checkpoint's folder, and what is refused; the folders as such models' authors lay them out."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.core.prompts import SYSTEM_PROMPT, audio_messages, notes_messages
from model_repo.families import FAMILIES, UnservableCheckpoint, read_checkpoint_folder, template_messages


def folder(root: Path, config: dict[str, Any], **files: Any) -> Path:
    out = root / "Some Model 2B"
    out.mkdir()
    for name, content in {"config.json": config, **files}.items():
        (out / name).write_text(json.dumps(content))
    return out


def voxtral(root: Path, places: int = 131_072, **files: Any) -> Path:
    config = {"model_type": "voxtral", "text_config": {"max_position_embeddings": places}}
    return folder(root, config, **({"params.json": {}, "tekken.json": {}} | files))


def test_a_long_context_is_cut_to_what_a_cache_holds_and_windows_stay_whole(tmp_path: Path) -> None:
    found = read_checkpoint_folder(voxtral(tmp_path))
    assert (found.name, found.context_tokens) == ("some-model-2b", 32_768)
    assert found.max_seconds == 2250  # 28,160 places at 12.5 a second are 2252.8 s
    assert found.max_seconds * found.family.audio_tokens_per_s + 4608 <= found.context_tokens


def test_more_context_is_given_where_it_is_asked_for_and_there(tmp_path: Path) -> None:
    where = voxtral(tmp_path)
    assert read_checkpoint_folder(where, 131_072).max_seconds == 10_110
    assert read_checkpoint_folder(where, 2048).max_seconds == 90
    with pytest.raises(UnservableCheckpoint, match="has a context of 131072 tokens, not of 200000"):
        read_checkpoint_folder(where, 200_000)


@pytest.mark.parametrize(
    ("files", "seconds"),
    [
        ({"preprocessor_config.json": {"chunk_length": 300}}, 300),
        ({"processor_config.json": {"feature_extractor": {"chunk_length": 300}}}, 300),
        ({"preprocessor_config.json": {"feature_size": 128}}, 30),
        ({}, 30),
    ],
)
def test_what_a_processor_would_cut_is_not_given_to_it(files: dict[str, Any], seconds: float, tmp_path: Path) -> None:
    config = {"model_type": "qwen2_5_omni", "thinker_config": {"text_config": {"max_position_embeddings": 32_768}}}
    assert read_checkpoint_folder(folder(tmp_path, config, **files)).max_seconds == seconds


@pytest.mark.parametrize(
    ("files", "seconds"),
    [
        ({"processor_config.json": {"max_audio_len": 90, "feature_extractor": {"chunk_length": 30}}}, 90),
        ({"processor_config.json": {"max_audio_len": 5_000}}, 1126),  # 28,160 places at 25 a second
        ({}, 600),
    ],
)
def test_audio_flamingo_takes_what_its_processor_says(files: dict[str, Any], seconds: float, tmp_path: Path) -> None:
    config = {"model_type": "audioflamingo3", "text_config": {"max_position_embeddings": 32_768}}
    assert read_checkpoint_folder(folder(tmp_path, config, **files)).max_seconds == seconds


def test_a_window_is_not_cut_to_a_context_that_has_no_room_for_it(tmp_path: Path) -> None:
    config = {"model_type": "qwen2_audio", "text_config": {"max_position_embeddings": 600}}
    assert read_checkpoint_folder(folder(tmp_path, config)).max_seconds == 16  # 400 places of 600


def test_what_cannot_be_served_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UnservableCheckpoint, match=r"nowhere has no config\.json"):
        read_checkpoint_folder(tmp_path / "nowhere")
    where = folder(tmp_path, {"model_type": "bert"})
    with pytest.raises(
        UnservableCheckpoint, match="has the model type 'bert'; the supported types are audioflamingo3, granite_speech"
    ):
        read_checkpoint_folder(where)
    (where / "config.json").write_text("{")
    with pytest.raises(UnservableCheckpoint, match=r"config\.json cannot be read"):
        read_checkpoint_folder(where)


def test_a_repository_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    where = voxtral(tmp_path)
    (where / "tekken.json").unlink()
    with pytest.raises(UnservableCheckpoint, match=r"has no tekken\.json"):
        read_checkpoint_folder(where)


def test_a_recording_stands_in_the_text_where_templates_take_texts_alone() -> None:
    system, user = template_messages(audio_messages("Be brief."), FAMILIES["granite_speech"])
    assert system == {"role": "system", "content": SYSTEM_PROMPT}
    assert user == {"role": "user", "content": "<|audio|>Be brief."}
    (_, noted) = template_messages(notes_messages("Be brief.", "[0:00:00] Hello"), FAMILIES["granite_speech"])
    assert "<|audio|>" not in noted["content"]
    for facts in (None, FAMILIES["audioflamingo3"]):
        assert template_messages(audio_messages("Be brief."), facts) == audio_messages("Be brief.")
