"""A wrong path ends every command at once, with one sentence and without torch."""

import argparse
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from training import __main__ as command_line
from training.__main__ import COMMANDS, main
from training.cli import data_command, input_paths
from training.cli.input_paths import FOLDER_OUTPUTS, INPUTS, MissingInput, check_paths, safetensors_problem

READ = [(command, option) for command, options in INPUTS.items() for option in options]


@pytest.fixture
def nothing_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} was imported")

    monkeypatch.setattr(command_line.importlib, "import_module", refuse)


@pytest.mark.parametrize(("command", "option"), READ)
def test_what_is_not_there_is_said_before_anything_is_imported(
    command: str, option: str, nothing_imported: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = str(tmp_path / "nowhere")
    given = [option, nowhere] if option.startswith("-") else [nowhere]
    assert main([*command.split(), *given]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{nowhere}: does not exist" in said


def checkpoint(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    save_file({"x": np.ones(3, np.float32)}, folder / "model.safetensors")
    return folder


def refusal(command: str, *arguments: object) -> str:
    with pytest.raises(MissingInput) as caught:
        check_paths(command, [str(one) for one in arguments])
    return str(caught.value)


def test_what_is_there_and_cannot_be_used_is_said(tmp_path: Path) -> None:
    base, file = checkpoint(tmp_path / "base"), tmp_path / "data.jsonl"
    file.write_text("{}\n")
    check_paths("sft", ["--base", str(base), "--data", str(file), str(file), "--steps", "5"])
    assert "is a file, and a folder is needed" in refusal("sft", "--base", file)
    assert "is a folder, and a file is needed" in refusal("sft", "--data", file, base)
    assert "--start " in refusal("sft", "--base", base, "--start", file)
    (tmp_path / "empty.jsonl").write_bytes(b"")
    assert "is empty" in refusal("dpo", "--data", tmp_path / "empty.jsonl")
    (tmp_path / "out").write_text("x")
    assert "is a file, and a folder is written there" in refusal("sft", "--base", base, "--out", tmp_path / "out")
    assert "is a file" in refusal("sft", "--out", tmp_path / "out" / "deeper")
    assert "is a folder, and a file is written there" in refusal("pairs", "--out", base)
    for text, said in (("{", "cannot be read"), ("[]", "without a model_type"), ("", "cannot be read")):
        (base / "config.json").write_text(text)
        assert said in refusal("sft", "--base", base)
    (base / "config.json").unlink()
    assert "holds no config.json" in refusal("sft", "--base", base)


def test_weights_that_were_cut_are_said(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base")
    weights = base / "model.safetensors"
    assert safetensors_problem(weights) is None
    whole = weights.read_bytes()
    for length in (0, 4, 20, len(whole) - 1):
        weights.write_bytes(whole[:length])
        assert "model.safetensors" in refusal("sft", "--base", base)
    weights.unlink()
    assert "holds no weights" in refusal("sft", "--base", base)


def test_a_teacher_behind_a_server_needs_its_tokenizer_alone(tmp_path: Path) -> None:
    folder = tmp_path / "teacher"
    folder.mkdir()
    assert "holds no tokenizer" in refusal("distill", "--teacher", folder, "--teacher-url", "http://127.0.0.1:9")
    (folder / "tokenizer.json").write_text("{}")
    check_paths("distill", ["--teacher", str(folder), "--teacher-url", "http://127.0.0.1:9"])
    assert "holds no config.json" in refusal("distill", "--teacher", folder)


def test_paths_of_a_config_file_are_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / "how.yaml").write_text(json.dumps({"base": str(tmp_path / "nowhere"), "data": ["nope.jsonl"]}))
    assert "--base" in refusal("sft", "--config", tmp_path / "how.yaml")
    base = checkpoint(tmp_path / "base")
    assert "--data nope.jsonl" in refusal("sft", "--config", tmp_path / "how.yaml", "--base", base)


def test_systems_to_evaluate_are_looked_at(tmp_path: Path) -> None:
    assert "does not exist" in refusal("evaluate", "--system", f"a=hears:{tmp_path}/nowhere")
    assert "does not exist" in refusal("evaluate", "--system", f"cascade:x#{tmp_path}/nowhere")
    assert "does not exist" in refusal("evaluate", "--system", "kept:nowhere.json#A")
    check_paths("evaluate", ["--system", "a=service:http://127.0.0.1:9", "--system", "reference"])


def test_every_path_that_a_command_takes_is_looked_at() -> None:
    """The lists here stand beside the commands' own options, and must not fall behind them."""
    other = {"--config", "--root", "logs"}
    for command in COMMANDS:
        module = importlib.import_module(command_line.MODULES[command])
        parsers = {command: argparse.ArgumentParser()}
        if command == "data":
            parsers = {f"data {name}": argparse.ArgumentParser() for name in data_command.COMMANDS}
            for name, one in data_command.COMMANDS.items():
                one.add_arguments(parsers[f"data {name}"])
        else:
            module.add_arguments(parsers[command])
        for name, parser in parsers.items():
            options = {flag for action in parser._actions for flag in action.option_strings or [action.dest]}
            paths = {(action.option_strings or [action.dest])[-1] for action in parser._actions if action.type is Path}
            assert set(INPUTS.get(name, {})) <= options, name
            assert paths <= {*INPUTS.get(name, {}), *FOLDER_OUTPUTS, *other}, name


@pytest.mark.timing
def test_a_wrong_base_takes_no_time() -> None:
    began = time.monotonic()
    command = [sys.executable, "-m", "training", "sft", "--base", "/nonexistent", "--data", "x", "--out", "y"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert time.monotonic() - began < 2
    assert ended.returncode == 2
    assert ended.stderr == "speechsum-train sft: error: --base /nonexistent: does not exist\n"


def test_an_error_made_for_a_user_is_a_sentence_and_a_bug_is_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "main", lambda: check_paths("sft", ["--base", "/nonexistent"]))
    assert command_line.command_line() == 1
    assert "error: --base /nonexistent: does not exist\n" in capsys.readouterr().err
    monkeypatch.setattr(command_line, "main", lambda: int("x"))
    with pytest.raises(ValueError, match="invalid literal"):
        command_line.command_line()
    assert input_paths.MissingInput is MissingInput
