import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from model_repo.cache import file_sha256
from tests.model_repo.fakes import adapter
from tests.training.tiny_checkpoints import record
from training.__main__ import MODULES
from training.cli import config_file
from training.data.record_files import write_records
from training.recipes import common
from training.recipes.config import TrainConfig
from training.runtime import run_record
from training.runtime.run_record import (
    NotARunFolder,
    checkpoint_identity,
    final_adapters,
    read_run_record,
    write_run_record,
)


def parse_options(recipe: str, *arguments: str) -> argparse.Namespace:
    """The recipe's options as `main` would have them."""
    parser = argparse.ArgumentParser()
    importlib.import_module(MODULES[recipe]).add_arguments(parser)
    config_file.apply_config_file(parser, arguments)
    return argparse.Namespace(command=recipe, **vars(parser.parse_args(arguments)))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    save_file(adapter(), tmp_path / "base" / "model.safetensors")
    save_file(adapter(), tmp_path / "start.safetensors")
    (tmp_path / "train.jsonl").write_text(record(1, tmp_path).to_json() + "\n")
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    where = {"base": "base", "data": "train.jsonl", "out": "run"}
    return [part for name, file in where.items() for part in (f"--{name}", str(folder / file))] + list(more)


@pytest.mark.parametrize("recipe", ["align", "sft", "distill", "dpo"])
def test_the_config_runs_the_same_again(recipe: str, files: Path) -> None:
    more = {"align": ["--minutes", "0.5"], "distill": ["--teacher", str(files / "base"), "--beta", "0.5"]}
    steps = [] if recipe == "align" else ["--steps", "7", "--resume"]
    given = parse_options(
        recipe,
        *arguments(files, "--rate", "3e-4", "--start", str(files / "start.safetensors")),
        *steps,
        *more.get(recipe, []),
    )
    write_run_record(given)
    text = (files / "run" / "config.yaml").read_text()
    assert text.splitlines()[0] == f"# speechsum-train {recipe} --config {files}/run/config.yaml"
    again = parse_options(recipe, "--config", str(files / "run" / "config.yaml"))
    assert vars(again) | {"config": None} == vars(given) | {"config": None}


def test_the_record_says_how_long_the_recordings_are(tmp_path: Path) -> None:
    rows = [record(n, tmp_path, audio="a.wav", duration_s=float(n + 1)) for n in range(100)]
    (tmp_path / "a.jsonl").write_text("".join(row.to_json() + "\n" for row in rows) + "{not JSON\n\n")
    write_records(tmp_path / "b.parquet", [record(7, tmp_path, audio="a.wav", duration_s=300.0)])
    write_records(tmp_path / "text.jsonl", [record(8, tmp_path, audio=None)])
    assert run_record.audio_seconds([tmp_path / "a.jsonl"]) == {"p95": 95.0, "longest": 100.0}
    assert run_record.audio_seconds([tmp_path / "a.jsonl", tmp_path / "b.parquet"]) == {"p95": 96.0, "longest": 300.0}
    assert run_record.audio_seconds([tmp_path / "text.jsonl", tmp_path / "gone.jsonl"]) == {}


def test_the_record_says_what_the_files_were(files: Path) -> None:
    (files / "train.report.json").write_text(json.dumps({"judge": "big-judge", "pairs": 3}))
    write_run_record(
        parse_options(
            "distill", *arguments(files, "--teacher", str(files / "base"), "--start", str(files / "start.safetensors"))
        )
    )
    found = json.loads((files / "run" / "run.json").read_text())
    weights = file_sha256(files / "base" / "model.safetensors")
    assert (found["stage"], found["seed"], found["judge"]) == ("kd", 0, "big-judge")
    assert found["data"] == {f"{files.name}/train.jsonl": file_sha256(files / "train.jsonl")}
    assert found["base"] == found["teacher"] == {"name": "base", "sha256": weights}
    assert found["start"] == {f"{files.name}/start.safetensors": file_sha256(files / "start.safetensors")}
    assert found["versions"].keys() == {"torch", "transformers", "peft", "trl"}
    assert "writer" not in found


def test_answers_that_are_learned_from_are_data(files: Path) -> None:
    answers = files / "p.answers.jsonl"
    answers.write_text("{}\n")
    write_run_record(parse_options("sft", *arguments(files, "--answers", str(answers))))
    found = json.loads((files / "run" / "run.json").read_text())["data"]
    assert found == {f"{files.name}/{file}": file_sha256(files / file) for file in ("train.jsonl", "p.answers.jsonl")}


def test_recipes_leave_it_when_they_begin_and_not_before(files: Path) -> None:
    records, how = common.records_and_config(parse_options("sft", *arguments(files)), TrainConfig)
    assert [r.id for r in records] == ["clip-1"]
    assert not (files / "run").exists(), "an earlier run's record must not be written over by one that never began"
    how.on_train_begin()
    assert json.loads((files / "run" / "run.json").read_text())["stage"] == "sft"


def test_of_several_processes_the_first_writes(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    write_run_record(parse_options("sft", *arguments(files)))
    assert not (files / "run").exists()


def test_a_folder_that_no_recipe_left_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotARunFolder, match=r"has no run\.json and no config\.yaml and no adapter\.safetensors"):
        read_run_record(tmp_path)


def write_run(folder: Path, number: int, start: list[Path]) -> Path:
    out = folder / str(number)
    out.mkdir()
    save_file({name: value + number for name, value in adapter().items()}, out / "adapter.safetensors")
    (out / "config.yaml").write_text("seed: 1\n")
    (out / "run.json").write_text(json.dumps({"stage": "sft", "start": run_record.file_digests(start)}))
    return out


def test_an_adapter_that_a_later_run_began_from_is_left_out(tmp_path: Path) -> None:
    one = write_run(tmp_path, 1, [])
    two = write_run(tmp_path, 2, [])
    three = write_run(tmp_path, 3, [two / "adapter.safetensors"])
    assert final_adapters([one, two, three]) == [one / "adapter.safetensors", three / "adapter.safetensors"]
    (two / "adapter.safetensors").write_bytes((one / "adapter.safetensors").read_bytes())
    assert len(final_adapters([two, three])) == 2, "trained anew since: not what the third began from"
    assert "log" not in read_run_record(one), "cut short"


def test_weights_in_several_files_have_one_digest(tmp_path: Path) -> None:
    found: list[Any] = []
    for count in (1, 2):
        folder = tmp_path / str(count) / "model"
        folder.mkdir(parents=True)
        for number in range(count):
            save_file(adapter(), folder / f"model-{number}.safetensors")
        found.append(checkpoint_identity(folder))
    assert found[0]["name"] == found[1]["name"] == "model"
    assert found[0]["sha256"] != found[1]["sha256"]
    assert checkpoint_identity(tmp_path / "none", served=True) == {"name": "none", "served": True}
    assert checkpoint_identity(None) is None
