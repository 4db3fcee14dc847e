import argparse
import importlib
import json
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from training import __main__ as command_line
from training.__main__ import main
from training.recipes import pipeline
from training.recipes.pipeline import PipelineStep, parse_overrides, pipeline_steps


@pytest.fixture
def steps_made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the steps that ran; none of them really does."""
    names: list[str] = []
    monkeypatch.setattr(pipeline, "run_step", lambda rung: names.append(rung.name))
    return names


def options(work: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    pipeline.add_arguments(parser)
    return parser.parse_args(["--work", str(work), *more])


def test_every_command_is_one_that_its_program_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to where it would begin to work."""
    seen: list[tuple[str, argparse.Namespace]] = []
    real = importlib.import_module

    class Stub:
        """A command's own options, and nothing done."""

        def __init__(self, name: str) -> None:
            self.name, self.add_arguments = name, real(name).add_arguments

        def run(self, given: argparse.Namespace) -> int:
            seen.append((self.name, given))
            return 0

    monkeypatch.setattr(command_line, "importlib", SimpleNamespace(import_module=Stub))
    monkeypatch.setattr(
        command_line.input_paths, "check_paths", lambda command, arguments: None
    )  # of what is yet to be made
    found = [r for r in pipeline_steps(options(tmp_path, "--set", "sft.steps=7", "--set", "dpo.beta=0.3"))]
    for rung in found:
        assert rung.command[:3] == ["python", "-m", "training"]
        assert main(rung.command[3:]) == 0, rung.command_line
    by_out = {getattr(given, "out", None): given for _, given in seen}
    assert by_out[tmp_path / "sft"].max_steps == 7
    assert by_out[tmp_path / "sft"].per_device_train_batch_size == 4, "out of its YAML file"
    assert by_out[tmp_path / "sft"].data == [tmp_path / "speech" / "records.jsonl"], "over its YAML file"
    assert by_out[tmp_path / "dpo"].beta == 0.3
    assert by_out[tmp_path / "distill"].teacher == tmp_path / "reader"
    assert by_out[tmp_path / "teacher"].start == [tmp_path / "sft" / "adapter.safetensors"]
    assert len(by_out[tmp_path / "ladder.json"].system) == 10


def test_what_a_rung_needs_was_made_before_it(tmp_path: Path) -> None:
    there: set[str] = set()
    for rung in pipeline_steps(options(tmp_path)):
        outs = {"--out", "--folder-only", "--feature-cache"}
        for flag, argument in zip(["", *rung.command], rung.command, strict=False):
            for path in [a for a in argument.split(":") if a.startswith(str(tmp_path))]:
                name = Path(path).relative_to(tmp_path).parts[0].removesuffix(".jsonl")
                assert flag in outs or name in there, f"{rung.name} reads {name}"
        there.add(rung.name)


def test_it_goes_on_where_it_left_off_and_from_what_changed(
    tmp_path: Path, steps_made: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["ladder", "--work", str(tmp_path)]
    assert main(command) == 0
    everything = list(steps_made)
    assert everything[0] == "speech"
    assert everything[-2:] == ["evaluate", "curves"]
    steps_made.clear()
    assert main(command) == 0
    assert steps_made == []
    assert main([*command, "--set", "distill.steps=3"]) == 0
    assert steps_made == everything[everything.index("distill") :]
    capsys.readouterr()
    assert main([*command, "--set", "distill.steps=4", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "sft: is done already" in said
    assert "distill: python -m training distill" in said
    assert "--steps 4" in said


def test_what_an_earlier_release_made_still_counts(tmp_path: Path, steps_made: list[str]) -> None:
    command = ["ladder", "--work", str(tmp_path)]
    assert main(command) == 0
    done = (tmp_path / "done.json").read_text()
    assert "--eval-data" in done
    old = done.replace("--eval-data", "--held").replace("--feature-cache", "--features")
    (tmp_path / "done.json").write_text(old)
    steps_made.clear()
    assert main(command) == 0
    assert steps_made == []


def test_a_rung_that_breaks_is_not_counted_as_made(
    tmp_path: Path, steps_made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_at_align(rung: PipelineStep) -> None:
        if rung.name == "align":
            raise subprocess.CalledProcessError(1, rung.command)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "run_step", fail_at_align)
        with pytest.raises(subprocess.CalledProcessError):
            main(["ladder", "--work", str(tmp_path)])
    assert "text" in json.loads((tmp_path / "done.json").read_text())
    assert main(["ladder", "--work", str(tmp_path)]) == 0
    assert steps_made[0] == "align"


def test_a_rung_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'x')!r}, 'w').write('made')"
    pipeline.run_step(PipelineStep("x", ["python", "-c", code]))
    assert (tmp_path / "x").read_text() == "made"
    with pytest.raises(subprocess.CalledProcessError):
        pipeline.run_step(PipelineStep("y", ["python", "-c", "raise SystemExit(3)"]))


def test_settings_for_a_rung() -> None:
    assert parse_overrides(["sft.steps=3", "sft.save_every=1", "pairs.samples=2"]) == {
        "sft": ["--steps", "3", "--save-every", "1"],
        "pairs": ["--samples", "2"],
    }


@pytest.mark.parametrize("text", ["steps=3", "sft.steps", "sft.=3", ".steps=3"])
def test_a_setting_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="should have the form STEP"):
        parse_overrides([text])


def test_a_setting_for_no_rung_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names the step 'sff'; the steps are align"):
        main(["ladder", "--work", str(tmp_path), "--set", "sff.steps=3"])


@pytest.mark.slow  # ten minutes: the real weights
@pytest.mark.timeout(15 * 60)
def test_at_toy_size_it_runs_from_nothing_and_its_table_has_every_row(tmp_path: Path) -> None:
    toy = Path(pipeline.__file__).parents[1] / "configs" / "toy"
    sizes = ["--clips", "12", "--eval-clips", "4", "--max-words", "24"]
    assert main(["ladder", "--work", str(tmp_path), "--configs", str(toy), *sizes]) == 0
    rows = json.loads((tmp_path / "ladder.json").read_text())["systems"]
    assert [row["system"] for row in rows] == [
        "base",
        "SFT",
        "SFT, KD",
        "SFT, KD, DPO",
        "SFT, KD, DPO, given silence",
        "SFT, KD, DPO, given another recording",
        "cascade, Whisper and the text twin",
        "untaught text model, true transcript",
        "text twin, true transcript",
        "the data's own",
    ]
    assert {row["figures"]["recordings"] for row in rows} == {4}
    for name in ("ladder.md", "ladder.png", "curves.png"):
        assert (tmp_path / name).stat().st_size


def test_lines_can_be_typed(tmp_path: Path) -> None:
    for rung in pipeline_steps(options(tmp_path)):
        assert shlex.split(rung.command_line) == rung.command
