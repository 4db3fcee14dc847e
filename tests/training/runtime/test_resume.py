"""A run that is killed and goes on takes the very steps it would have taken."""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from tests.training.tiny_checkpoints import noise, record
from training.data.record import Record
from training.recipes import callbacks, distill, dpo, sft
from training.recipes.config import DistillConfig, TrainConfig
from training.runtime.resume import TRAINED_FILE, newest_whole_checkpoint


def distillation(how: TrainConfig, teacher: Path, **more: Any) -> DistillConfig:
    """The configuration with a teacher."""
    given = {field.name: getattr(how, field.name) for field in fields(how)}
    return DistillConfig(**given, teacher=teacher, **more)


Recipe = Callable[[Path, TrainConfig], Path]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder, short = tmp_path_factory.mktemp("clips"), {"style": "headline"}
    good = [f"Caller {i} wants {i} pumps." for i in range(6)]
    pairs = [{"chosen": text, "rejected": "It is about a garden."} for text in good]
    return [record(i, folder, noise(0.5, i), good[i], style=short, **pairs[i]) for i in range(6)]


# Every recipe resumes by the same code: two of them in every run, all in `make test-slow`.
@pytest.fixture(params=["sft", "distill", pytest.param("dpo", marks=pytest.mark.slow)])
def recipe(request: Any, audio_folder: Path, llama_folder: Path, rows: list[Record]) -> Recipe:
    recipes: dict[str, Recipe] = {
        "sft": lambda out, how: sft.train(audio_folder, rows, out, how),
        "distill": lambda out, how: distill.train(
            audio_folder, rows, out, distillation(how, llama_folder, max_completion_length=8)
        ),
        "dpo": lambda out, how: dpo.train(audio_folder, rows, out, how),
    }
    return recipes[request.param]


def losses(file: Path) -> dict[int, float]:
    lines = json.loads((file.parent / "log.json").read_text())
    return {line["step"]: float(line["loss"]) for line in lines if "loss" in line}


def how(**changed: Any) -> TrainConfig:
    known: dict[str, Any] = {
        "max_steps": 5,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-2,
        "lora_rank": 4,
        "save_steps": 2,
        "logging_steps": 1,
    }
    return TrainConfig(**known | changed)


def test_it_takes_the_steps_it_would_have_taken(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recipe(tmp_path / "whole", how())

    def killed(*_: Any) -> float:
        raise KeyboardInterrupt

    cut = tmp_path / "cut"
    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "audio_gain", killed)
        with pytest.raises(KeyboardInterrupt):
            recipe(cut, how(audio_gain_steps=3))
    assert [folder.name for folder in cut.glob("checkpoint-*")] == ["checkpoint-2"]
    again = recipe(cut, how(resume_from_checkpoint=True))
    expected, found = losses(whole), losses(again)
    assert expected.keys() == found.keys() == {1, 2, 3, 4, 5}
    assert [found[step] for step in (3, 4, 5)] == pytest.approx([expected[step] for step in (3, 4, 5)], rel=1e-4)
    ours, theirs = load_file(whole), load_file(again)
    for name, value in ours.items():
        np.testing.assert_allclose(value.astype(float), theirs[name].astype(float), atol=1e-3, err_msg=name)
    assert [folder.name for folder in cut.glob("checkpoint-*")] == ["checkpoint-5"], "one is kept"


def test_with_nothing_to_go_on_from_it_begins(
    audio_folder: Path, rows: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sft.train(audio_folder, rows, tmp_path / "new", how(max_steps=1, resume_from_checkpoint=True))
    assert "starting at step 0" in capsys.readouterr().out


def test_a_checkpoint_of_another_run_is_refused(audio_folder: Path, rows: list[Record], tmp_path: Path) -> None:
    sft.train(audio_folder, rows, tmp_path, how(max_steps=2))
    file = tmp_path / "checkpoint-2" / TRAINED_FILE
    tensors = load_file(file)
    tensors.pop(next(iter(tensors)))
    save_file(tensors, file)
    with pytest.raises(ValueError, match="trained other parameters"):
        sft.train(audio_folder, rows, tmp_path, how(max_steps=3, resume_from_checkpoint=True))


def checkpoint(out: Path, number: int) -> Path:
    """A folder as Transformers saves one."""
    folder = out / f"checkpoint-{number}"
    folder.mkdir(parents=True)
    save_file({"x": np.ones(100, np.float32)}, folder / TRAINED_FILE)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        torch.save({"x": torch.ones(100)}, folder / name)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": number}))
    return folder


HARMS = [
    (name, harm)
    for name in (TRAINED_FILE, "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
    for harm in ("missing", "empty", "cut", "zeros")
    if (name, harm) != ("rng_state.pth", "missing")  # several processes have one each, under other names
]


@pytest.mark.parametrize(("name", "harm"), HARMS)
def test_a_checkpoint_that_was_being_saved_is_named_and_the_one_before_it_taken(
    name: str, harm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, broken = checkpoint(tmp_path, 20), checkpoint(tmp_path, 100)
    file = broken / name
    data = file.read_bytes()
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "zeros": bytes(len(data))}[harm])
    assert newest_whole_checkpoint(tmp_path) == whole
    said = capsys.readouterr().out
    assert "checkpoint-100 is not whole" in said
    assert name in said
    assert (tmp_path / "broken-100").is_dir(), "Transformers would keep it and delete the whole one"
    assert newest_whole_checkpoint(tmp_path) == whole


def test_without_a_whole_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert newest_whole_checkpoint(tmp_path / "nowhere") is None
    assert newest_whole_checkpoint(tmp_path) is None
    (tmp_path / "checkpoint-7").mkdir()
    (tmp_path / "checkpoint-9").write_text("no folder")
    assert newest_whole_checkpoint(tmp_path) is None
    assert {file.name for file in tmp_path.iterdir()} == {"broken-7", "broken-9"}


def test_a_run_goes_on_beside_half_a_checkpoint(
    audio_folder: Path, rows: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sft.train(audio_folder, rows, tmp_path, how(max_steps=2))
    shutil.copytree(tmp_path / "checkpoint-2", tmp_path / "checkpoint-4")
    (tmp_path / "checkpoint-4" / "trainer_state.json").unlink()
    sft.train(audio_folder, rows, tmp_path, how(max_steps=3, resume_from_checkpoint=True))
    assert f"continuing from {tmp_path / 'checkpoint-2'}" in capsys.readouterr().out
    assert [folder.name for folder in tmp_path.glob("checkpoint-*")] == ["checkpoint-3"]
