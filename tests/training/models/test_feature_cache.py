import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.tiny_checkpoints import noise, record
from training.__main__ import main
from training.data.record import Record
from training.data.record_files import UnusableRecord, write_records
from training.kd.rollout import TransformersRollout
from training.models.checkpoint import add_lora, open_model
from training.models.collate import AudioCollator, build_collator
from training.models.feature_cache import FeatureCollator, cache_features, encoded_frames
from training.recipes import dpo, sft
from training.recipes.callbacks import audio_gain
from training.recipes.config import TrainConfig

SHORT = {"style": "headline"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """One is longer than a window."""
    folder = tmp_path_factory.mktemp("clips")
    told = ("Anna called.", "The pump on the second floor failed.", "Nothing.")
    return [record(i, folder, noise(s, i), told[i], style=SHORT) for i, s in enumerate((0.6, 1.9, 31.3))]


def open_with_lora(folder: Path) -> Any:
    torch.manual_seed(0)
    return add_lora(open_model(folder), 4).eval()


def files(folder: Path) -> set[Path]:
    return set(folder.iterdir())


@torch.no_grad()
def test_batches_are_the_same_but_encoded_and_the_model_makes_the_same_of_them(
    audio_folder: Path, hears: AudioCollator, rows: list[Record], tmp_path: Path
) -> None:
    model = open_with_lora(audio_folder)
    plain = hears(rows)
    expected = model(**plain)
    gain = audio_gain(model, hears, rows)
    written = TransformersRollout(hears, 0, hears.placeholder_ids).sample(model, rows)
    reads = cache_features(model, hears, rows, tmp_path, "float32")
    batch = reads(rows)
    for name in ("input_ids", "attention_mask", "labels", "input_features_mask"):
        assert torch.equal(batch[name], plain[name]), name
    width = model.config.audio_config.hidden_size
    assert batch["input_features"].shape == (4, 750, width), "as many windows, of the encoder's frames"
    found = model(**batch)
    assert float(found.loss) == pytest.approx(float(expected.loss), abs=1e-3)
    torch.testing.assert_close(found.logits, expected.logits, atol=0.02, rtol=0.02)
    assert audio_gain(model, reads, rows) == pytest.approx(gain, abs=5e-4)
    assert abs(gain) > 2e-3, "or the line above compares nothing"
    assert TransformersRollout(reads, 0, reads.placeholder_ids).sample(model, rows) == written


@pytest.mark.parametrize("length", [1, 2, 3, 99, 100, 101, 102, 3000])
def test_frames_are_counted_as_the_model_counts_them(audio_folder: Path, length: int) -> None:
    tower = open_with_lora(audio_folder).get_base_model().model.audio_tower
    lengths = torch.tensor([length])
    assert encoded_frames(lengths).tolist() == tower._get_feat_extract_output_lengths(lengths)[1].tolist()


def count_encodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the records that are encoded from here on."""
    made: list[str] = []
    question = AudioCollator.encode_question
    monkeypatch.setattr(AudioCollator, "encode_question", lambda self, r: [made.append(r.id), question(self, r)][1])
    return made


def test_a_clip_is_encoded_once_and_again_when_clip_or_encoder_changes(
    audio_folder: Path, hears: AudioCollator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "features"
    rows = [record(i, tmp_path, noise(0.5 + i, i), style=SHORT) for i in range(2)]
    both = [*rows, replace(rows[0], id="same clip, other query", query="Who called?")]
    part = replace(rows[1], id="part", start=0.5, end=1.0)
    made = count_encodings(monkeypatch)
    reads = cache_features(open_with_lora(audio_folder), hears, [*both, part], folder, "float32")
    assert len(made) == len(files(folder)) == 3
    assert len(reads.encode_question(part)[0]) < len(reads.encode_question(rows[1])[0])
    made.clear()
    reads = cache_features(open_with_lora(audio_folder), hears, both, folder, "float32")
    assert made == [], "another run reads what the first has kept"
    record(0, tmp_path, noise(0.7, 9))
    with pytest.raises(UnusableRecord, match=r"clip-0: .* has changed"):
        reads(rows)
    made.clear()
    os.utime(str(rows[1].audio), ns=(1, 1))
    cache_features(open_with_lora(audio_folder), hears, both, folder, "float32")
    assert len(made) == 2
    other = open_with_lora(audio_folder)
    with torch.no_grad():
        other.get_base_model().model.audio_tower.layers[0].fc1.weight[0, 0] += 0.5
    made.clear()
    cache_features(other, hears, rows, folder, "float32")
    assert len(made) == 2
    made.clear()
    cache_features(open_with_lora(audio_folder), hears, rows, folder, "bfloat16")
    assert len(made) == 2, "in other numbers the encoder gives others"


def test_a_write_that_is_cut_short_leaves_nothing_to_read(
    audio_folder: Path, hears: AudioCollator, rows: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(tensors: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.models.feature_cache.save_file", cut)
        with pytest.raises(KeyboardInterrupt):
            cache_features(open_with_lora(audio_folder), hears, rows[:1], tmp_path, "float32")
    model = open_with_lora(audio_folder)
    assert cache_features(model, hears, rows[:1], tmp_path, "float32")(rows[:1])["input_features"].abs().max() > 0


def test_bad_audio_is_said_as_ever(
    audio_folder: Path, llama_folder: Path, hears: AudioCollator, rows: list[Record], tmp_path: Path
) -> None:
    def of(row: Record) -> Any:
        return cache_features(open_with_lora(audio_folder), hears, [row], tmp_path / "f", "float32")

    with pytest.raises(UnusableRecord, match="clip-5: has no audio"):
        of(record(5, tmp_path))
    with pytest.raises(UnusableRecord, match=r"clip-5: .*cannot be read"):
        of(record(5, tmp_path, audio=str(tmp_path / "gone.wav"), duration_s=1.0))
    with pytest.raises(UnusableRecord, match=r"clip-6: .* too few"):
        of(record(6, tmp_path, noise(0.01)))
    placed = replace(rows[0], query=f"What is {hears.processor.audio_token}?")
    with pytest.raises(UnusableRecord, match="clip-0: the query holds"):
        of(rows[0])([placed])
    learns = open_with_lora(audio_folder)
    learns.get_base_model().model.audio_tower.layers[0].fc1.weight.requires_grad_(True)
    with pytest.raises(ValueError, match="this one is trained"):
        cache_features(learns, hears, rows, tmp_path / "f", "float32")
    text = open_with_lora(llama_folder)
    with pytest.raises(ValueError, match="this is llama"):
        cache_features(text, build_collator(llama_folder, text), rows, tmp_path / "f", "float32")


def losses(log: Path) -> list[float]:
    return [line["loss"] for line in json.loads(log.read_text()) if "loss" in line]


@pytest.mark.parametrize("recipe", [sft, pytest.param(dpo, marks=pytest.mark.slow)])
def test_a_recipe_learns_the_same_from_them(
    recipe: Any, audio_folder: Path, rows: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [replace(row, chosen="Anna called.", rejected="Nobody.") for row in rows[:2]]
    plain = TrainConfig(max_steps=3, per_device_train_batch_size=2, learning_rate=1e-2, lora_rank=4, logging_steps=1)
    recipe.train(audio_folder, told, tmp_path / "plain", plain)
    recipe.train(audio_folder, told, tmp_path / "kept", replace(plain, feature_cache=tmp_path / "features"))
    expected, found = losses(tmp_path / "plain" / "log.json"), losses(tmp_path / "kept" / "log.json")
    assert len(expected) == 3
    assert found == pytest.approx(expected, rel=5e-3)
    assert expected[2] < expected[0], "it learns"


def test_distil_reads_them_too(
    audio_folder: Path, llama_folder: Path, rows: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data.jsonl"
    write_records(data, rows[:2])
    command = ["distill", "--base", audio_folder, "--teacher", llama_folder, "--data", data]
    how = "--steps 2 --batch 2 --rank 4 --gain-every 1 --temperature 0"
    assert main([*map(str, command), "--out", str(tmp_path / "plain"), *how.split()]) == 0
    kept_there = ["--out", str(tmp_path / "kept"), "--features", str(tmp_path / "features")]
    made = count_encodings(monkeypatch)
    assert main([*map(str, command), *kept_there, *how.split()]) == 0
    twice = sorted(2 * [row.id for row in rows[:2]])
    assert sorted(made) == twice, "to see that it fits, and to encode it: not to sample, to learn, or for the gain"
    assert losses(tmp_path / "kept" / "log.json") == pytest.approx(losses(tmp_path / "plain" / "log.json"), rel=5e-3)


def test_the_collator_can_go_to_other_processes(
    audio_folder: Path, hears: AudioCollator, rows: list[Record], tmp_path: Path
) -> None:
    import pickle

    reads = cache_features(open_with_lora(audio_folder), hears, rows[:1], tmp_path, "float32")
    again = pickle.loads(pickle.dumps(reads))
    assert isinstance(again, FeatureCollator)
    assert torch.equal(again(rows[:1])["input_features"], reads(rows[:1])["input_features"])
