import argparse
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.tiny_checkpoints import noise, record
from training.__main__ import main
from training.recipes import sft
from training.recipes.config import TrainConfig
from training.runtime import trackers


def parse_trackers(*given: str) -> list[str]:
    parser = argparse.ArgumentParser()
    trackers.add_tracker_argument(parser)
    return list(parser.parse_args(given).report_to)


def test_tensorboard_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_trackers() == ["tensorboard"]
    assert parse_trackers("--report-to", "none") == ["none"]
    monkeypatch.setattr(trackers, "find_spec", lambda name: name)
    assert parse_trackers("--report-to", "wandb", "trackio", "tensorboard") == ["wandb", "trackio", "tensorboard"]


@pytest.mark.parametrize(("name", "said"), [("trackio", "'.[trackers]'"), ("paper", "none of tensorboard, wandb")])
def test_what_is_not_there_is_named_before_anything_is_read(
    name: str,
    said: str,
    audio_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "d").write_text("no records at all")
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    where = ["--base", audio_folder, "--data", tmp_path / "d", "--out", tmp_path / "o"]
    with pytest.raises(SystemExit):
        main(["sft", *map(str, where), "--report-to", name])
    assert said in (found := capsys.readouterr().err)
    assert repr(name) in found


def curves(out: Path) -> set[str]:
    """Names of the curves under a run's folder."""
    return {tag for file in out.rglob("events.*") for tag in EventAccumulator(str(file)).Reload().Tags()["scalars"]}


def test_loss_and_audio_gain_are_curves(audio_folder: Path, tmp_path: Path) -> None:
    rows = [record(i, tmp_path, noise(0.5, i)) for i in range(2)]
    settings = {
        "max_steps": 2,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-3,
        "lora_rank": 2,
        "audio_gain_steps": 1,
        "logging_steps": 1,
    }
    sft.train(audio_folder, rows, tmp_path / "run", TrainConfig(**settings))
    assert {"train/loss", "train/audio_gain"} <= curves(tmp_path / "run")
    sft.train(audio_folder, rows, tmp_path / "none", TrainConfig(**settings, report_to=["none"]))
    assert not curves(tmp_path / "none")
