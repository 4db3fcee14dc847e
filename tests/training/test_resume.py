"""A run that is killed and goes on takes the very steps it would have taken."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.training.tiny import noise, record
from training import callbacks, distill, dpo, sft
from training.corpus.record import Record
from training.loop import TRAINED, Loop

Recipe = Callable[[Path, Loop], Path]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder, short = tmp_path_factory.mktemp("clips"), {"style": "headline"}
    good = [f"Caller {i} wants {i} pumps." for i in range(6)]
    pairs = [{"chosen": text, "rejected": "It is about a garden."} for text in good]
    return [record(i, folder, noise(0.5, i), good[i], style=short, **pairs[i]) for i in range(6)]


@pytest.fixture(params=["sft", "distill", "dpo"])
def recipe(request: Any, audio_folder: Path, llama_folder: Path, rows: list[Record]) -> Recipe:
    recipes: dict[str, Recipe] = {
        "sft": lambda out, how: sft.train(audio_folder, rows, out, how),
        "distill": lambda out, how: distill.train(audio_folder, llama_folder, rows, out, how),
        "dpo": lambda out, how: dpo.train(audio_folder, rows, out, how),
    }
    return recipes[request.param]


def losses(file: Path) -> dict[int, float]:
    lines = json.loads((file.parent / "log.json").read_text())
    return {line["step"]: float(line["loss"]) for line in lines if "loss" in line}


def how(**changed: Any) -> Loop:
    known: dict[str, Any] = {"steps": 5, "batch": 2, "rate": 1e-2, "rank": 4, "save_every": 2, "log_every": 1}
    return Loop(**known | changed)


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
            recipe(cut, how(gain_every=3))
    assert [folder.name for folder in cut.glob("checkpoint-*")] == ["checkpoint-2"]
    again = recipe(cut, how(resume=True))
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
    sft.train(audio_folder, rows, tmp_path / "new", how(steps=1, resume=True))
    assert "starts at the beginning" in capsys.readouterr().out


def test_a_checkpoint_of_another_run_is_refused(audio_folder: Path, rows: list[Record], tmp_path: Path) -> None:
    sft.train(audio_folder, rows, tmp_path, how(steps=2))
    file = tmp_path / "checkpoint-2" / TRAINED
    tensors = load_file(file)
    tensors.pop(next(iter(tensors)))
    save_file(tensors, file)
    with pytest.raises(ValueError, match="trained something else"):
        sft.train(audio_folder, rows, tmp_path, how(steps=3, resume=True))
