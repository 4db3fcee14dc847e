import argparse

import pytest

from training.runtime.option_names import add_option


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser()
    add_option(found, "--learning-rate", "--rate", type=float, default=0.5)
    add_option(found, "--torch-compile", "--compile", action="store_true")
    add_option(found, "--eval-data", "--held", nargs="*", default=[])
    add_option(found, "--base", "--from", required=True)
    add_option(found, "--size", "--big", choices=("one", "two"), default="one")
    return found


def test_new_names_are_said_without_a_warning(
    parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--base", "b", "--learning-rate", "0.1", "--torch-compile", "--eval-data", "x", "--size", "two"]
    found = vars(parser.parse_args(arguments))
    assert found == {"base": "b", "learning_rate": 0.1, "torch_compile": True, "eval_data": ["x"], "size": "two"}
    assert capsys.readouterr().err == ""


def test_old_names_do_the_same_and_warn(parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]) -> None:
    found = vars(parser.parse_args(["--from", "b", "--rate", "0.1", "--compile", "--held", "x", "--big", "two"]))
    assert found == {"base": "b", "learning_rate": 0.1, "torch_compile": True, "eval_data": ["x"], "size": "two"}
    warned = capsys.readouterr().err.splitlines()
    assert len(warned) == 5
    assert (
        "warning: --rate is deprecated and will be removed in the next release; use --learning-rate instead" in warned
    )


def test_defaults_stay_and_the_last_name_counts(parser: argparse.ArgumentParser) -> None:
    found = vars(parser.parse_args(["--base", "b"]))
    assert found == {"base": "b", "learning_rate": 0.5, "torch_compile": False, "eval_data": [], "size": "one"}
    assert parser.parse_args(["--base", "b", "--rate", "1", "--learning-rate", "2"]).learning_rate == 2
    assert parser.parse_args(["--base", "b", "--learning-rate", "2", "--rate", "1"]).learning_rate == 1


@pytest.mark.parametrize("arguments", [["--rate", "fast"], ["--big", "three"]])
def test_old_names_refuse_what_the_option_refuses(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        parser.parse_args(["--base", "b", *arguments])


def test_the_help_shows_new_names_alone(parser: argparse.ArgumentParser) -> None:
    text = parser.format_help()
    assert "--learning-rate" in text
    assert "--rate" not in text.replace("--learning-rate", "")


def test_of_several_processes_the_first_warns(
    parser: argparse.ArgumentParser, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert parser.parse_args(["--base", "b", "--rate", "1"]).learning_rate == 1
    assert capsys.readouterr().err == ""
