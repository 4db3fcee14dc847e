import argparse
import importlib
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import training
from training import __main__ as command_line
from training.cli.config_file import ConfigError, apply_config_file
from training.runtime.option_names import add_option

FOLDER = Path(training.__file__).parent / "configs"
CONFIGS = sorted(
    file for file in FOLDER.rglob("*.yaml") if file.parent.name != "accelerate"
)  # those are the launcher's


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser()
    found.add_argument("--data", type=Path, nargs="+", required=True)
    found.add_argument("--held", type=Path, nargs="*", default=[])
    found.add_argument("--steps", type=int, default=5)
    add_option(found, "--learning-rate", "--rate", type=float, default=0.1)
    found.add_argument("--shape", choices=("round", "square"))
    found.add_argument("--quick", action="store_true")
    found.add_argument("--system", action="append", default=[])
    return found


def parsed(parser: argparse.ArgumentParser, file: Path, text: str, *more: str) -> dict[str, Any]:
    file.write_text(text)
    arguments = ["--config", str(file), *more]
    apply_config_file(parser, arguments)
    return vars(parser.parse_args(arguments))


def test_values_are_defaults_and_the_command_line_goes_over_them(
    parser: argparse.ArgumentParser, tmp_path: Path
) -> None:
    text = "data: [a.jsonl, b.jsonl]\nsteps: 7\nlearning-rate: 1e-3\nshape: round\nquick: true\nheld: []\nsystem: [a]\n"
    found = parsed(parser, tmp_path / "c.yaml", text, "--steps", "9")
    assert found.pop("config") == tmp_path / "c.yaml"
    assert found == {
        "data": [Path("a.jsonl"), Path("b.jsonl")],
        "held": [],
        "steps": 9,
        "learning_rate": 0.001,
        "shape": "round",
        "quick": True,
        "system": ["a"],
    }


def test_the_old_name_of_an_option_is_a_key_too_and_warns(
    parser: argparse.ArgumentParser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parsed(parser, tmp_path / "c.yaml", "data: [a]\nrate: 0.5\n")["learning_rate"] == 0.5
    said = capsys.readouterr().err
    assert said.endswith("rate is deprecated and will be removed in the next release; use learning_rate instead\n")
    assert "c.yaml: rate" in said


def test_one_option_under_two_names_is_an_error(parser: argparse.ArgumentParser, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'learning_rate' and 'rate' are two names of the same option"):
        parsed(parser, tmp_path / "c.yaml", "data: [a]\nrate: 0.5\nlearning_rate: 1\n")


def test_without_a_file_nothing_changes(parser: argparse.ArgumentParser) -> None:
    apply_config_file(parser, ["--data", "x"])
    assert parser.parse_args(["--data", "x"]).steps == 5
    with pytest.raises(SystemExit):
        parser.parse_args([])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stepps: 3", "'stepps' is no option of this command; it has data, held, learning_rate"),
        ("steps: many", "steps: invalid literal"),
        ("steps: [1]", "should not be a list"),
        ("data: one.jsonl", "should be a list"),
        ("data: []", "an empty list"),
        ("shape: oval", "'oval' is not one of round, square"),
        ("quick: 1", "neither true nor false"),
        ("- steps", "not a mapping"),
        ("steps: [", "c.yaml: "),
    ],
)
def test_what_cannot_be_used_is_named(parser: argparse.ArgumentParser, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="yaml") as caught:
        parsed(parser, tmp_path / "c.yaml", text)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_named(parser: argparse.ArgumentParser, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        apply_config_file(parser, ["--config", str(tmp_path / "nowhere.yaml")])


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_the_shipped_files_run_as_their_first_line_says(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to where the command would begin to work."""
    first = file.read_text().splitlines()[0]
    program, *arguments = shlex.split(first.removeprefix("# "))
    assert program == "speechsum-train"
    assert arguments[-2:] == ["--config", str(file.relative_to(Path(training.__file__).parents[1]))]
    assert arguments[:-2] in ([arguments[0]], ["data", "generate"])
    monkeypatch.chdir(Path(training.__file__).parents[1])
    seen: list[argparse.Namespace] = []

    class Module:
        """Stands for the command's module, whose options are the real ones."""

        add_arguments = staticmethod(importlib.import_module(command_line.MODULES[arguments[0]]).add_arguments)
        run = staticmethod(lambda options: seen.append(options) or 0)

    monkeypatch.setattr(command_line, "importlib", SimpleNamespace(import_module=lambda name: Module))
    monkeypatch.setattr(
        command_line.input_paths, "check_paths", lambda command, arguments: None
    )  # their data is yet to be made
    assert command_line.main(arguments) == 0
    assert seen[0].out if arguments[0] == "data" else seen[0].data


def test_there_is_a_file_for_every_stage() -> None:
    assert {file.stem for file in CONFIGS} >= {"align", "twin", "sft", "distill", "pairs", "dpo"}
