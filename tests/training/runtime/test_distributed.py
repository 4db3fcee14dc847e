"""Two processes on the CPU, with gloo: what they learn is what one learns from the same batches."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file

import training
from tests.training.runtime.two_process_launches import short
from tests.training.tiny_checkpoints import noise, record
from training.__main__ import main
from training.data import answer_limit
from training.kd import rollout
from training.models.checkpoint import add_lora, load_adapter, open_model
from training.runtime.run_record import ADAPTER_FILE

CONFIGS = Path(training.__file__).parent / "configs" / "accelerate"
# What a parameter that is gathered was before, in each of the two processes, by the way of sharding.
HELD = {"fsdp2": ["part"], "zero2": ["whole optimizer's part"], "zero3": ["part"]}
# Each takes a minute: one of them in every run, all in `make test-slow` with data parallel and what learns preferences.
QUICK = "fsdp2"
PREFERENCE = ("dpo", "prefers")
every_sharding = pytest.mark.parametrize(
    "sharding", [name if name == QUICK else pytest.param(name, marks=pytest.mark.slow) for name in HELD], indirect=True
)
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight recordings, of which two processes take four batches of two each."""
    folder = tmp_path_factory.mktemp("clips")
    said = [f"Caller {i} wants {i} pumps{' and more' * i}." for i in range(8)]
    short = {"style": "headline"}
    pairs = [{"chosen": text, "rejected": "It is about a garden."} for text in said]
    rows = [record(i, folder, noise(0.5, i), said[i], style=short, **pairs[i]) for i in range(8)]
    (folder / "rows.jsonl").write_text("".join(row.to_json() + "\n" for row in rows))
    (folder / "held.jsonl").write_text("".join(row.to_json() + "\n" for row in rows[:2]))
    return folder


def commands(audio: Path, llama: Path, data: Path, out: Path, batch: int) -> list[list[str]]:
    """Every stage, the third step of sft once more, and a model trained whole with its activations made twice. The text
    model stands in where hearing adds nothing but time.
    """
    rows, held = data / "rows.jsonl", data / "held.jsonl"
    same = f"--data {rows} --rank 4 --batch {batch} --log-every 1 --save-every 2 --report-to none --rate 1e-2"
    sft = f"sft --base {audio} {same} --held {held} --gain-every 2 --steps"
    runs = {
        "sft": f"{sft} 3",
        "again": f"{sft} 3 --resume",
        "distill": f"distill --base {audio} --teacher {llama} {same} --gain-every 0 --temperature 0 --steps 3",
        "dpo": f"dpo --base {llama} {same} --gradient-checkpointing --steps 3",
        "whole": f"sft --base {llama} {same} --full --gradient-checkpointing --steps 3",
        "prefers": f"dpo --base {llama} {same} --full --start {out / 'whole' / ADAPTER_FILE} --steps 2",
    }
    found = [[*line.split(), "--out", str(out / name)] for name, line in runs.items()]
    last = "checkpoint-2"
    return [found[0], ["copy", str(out / "sft" / last), str(out / "again" / last)], *found[1:]]


class Runs(NamedTuple):
    """Where runs write, and the commands: what learns preferences apart from the others, which come first."""

    out: Path
    commands: list[list[str]]
    preference: list[list[str]]


@pytest.fixture(scope="module")
def make_runs(
    audio_folder: Path, llama_folder: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, int], Runs]:
    def make(name: str, batch: int) -> Runs:
        out = tmp_path_factory.mktemp(name)
        parts: tuple[list[Any], list[Any]] = ([], [])
        for command in commands(audio_folder, llama_folder, data, out, batch):
            parts[Path(command[-1]).name in PREFERENCE].append(command)
        return Runs(out, *parts)

    return make


@pytest.fixture(scope="module")
def runs_alone(make_runs: Callable[[str, int], Runs]) -> Runs:
    """What one process makes of batches of four."""
    runs = make_runs("alone", 4)
    run_alone([c for c in runs.commands if c[0] != "copy" and Path(c[-1]).name != "again"])
    return runs


@pytest.fixture(scope="module")
def alone(runs_alone: Runs) -> Path:
    return runs_alone.out


@pytest.fixture(scope="module")
def alone_with_preference(runs_alone: Runs) -> Path:
    run_alone(runs_alone.preference)
    return runs_alone.out


def run_alone(commands: list[list[str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in (answer_limit, rollout):
            patch.setattr(module, "answer_limit", short)
        for command in commands:
            assert main(command) == 0


@pytest.fixture(scope="module")
def sharding(request: pytest.FixtureRequest) -> str:
    """One of the ways that ship."""
    return str(request.param)


@pytest.fixture(scope="module")
def runs_together(sharding: str, make_runs: Callable[[str, int], Runs]) -> Runs:
    """What two processes make of two a batch each."""
    runs = make_runs(sharding, 2)
    run_together(sharding, runs.commands, runs.out)
    return runs


@pytest.fixture(scope="module")
def together(runs_together: Runs) -> Path:
    return runs_together.out


@pytest.fixture(scope="module")
def together_with_preference(sharding: str, runs_together: Runs) -> Path:
    (folder := runs_together.out / "preference").mkdir()
    run_together(sharding, runs_together.preference, folder)
    return runs_together.out


def run_together(sharding: str, commands: list[list[str]], folder: Path) -> None:
    """Launch two processes, which write into the folder what they held of the parameters."""
    (folder / "plan.json").write_text(json.dumps({str(CONFIGS / f"{sharding}.yaml"): commands}))
    command = [sys.executable, "-m", "tests.training.runtime.two_process_launches", str(folder / "plan.json")]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    for line in commands:
        if line[0] != "copy":
            assert done.stdout.count(f"{line[-1]}/{ADAPTER_FILE}") == 1, "one of them speaks"


def lines(folder: Path, figure: str) -> dict[int, float]:
    """Step → what was logged."""
    log = json.loads((folder / "log.json").read_text())
    return {line["step"]: float(line[figure]) for line in log if figure in line}


@every_sharding
@pytest.mark.parametrize(
    ("stage", "figure"),
    [
        ("sft", "loss"),
        ("sft", "audio_gain"),
        ("distill", "loss"),
        ("distill", "divergence"),
        ("whole", "loss"),
    ],
)
def test_two_processes_see_what_one_sees(stage: str, figure: str, alone: Path, together: Path) -> None:
    check_figures(stage, figure, alone, together)


@pytest.mark.slow
@every_sharding
@pytest.mark.parametrize("stage", PREFERENCE)
def test_two_processes_prefer_what_one_prefers(
    stage: str, alone_with_preference: Path, together_with_preference: Path
) -> None:
    check_figures(stage, "loss", alone_with_preference, together_with_preference)


def check_figures(stage: str, figure: str, alone: Path, together: Path) -> None:
    expected, found = lines(alone / stage, figure), lines(together / stage, figure)
    assert expected.keys() == found.keys()
    assert len(expected) >= {"prefers": 2}.get(stage, 1 if figure == "audio_gain" else 3)
    for step, value in expected.items():
        assert found[step] == pytest.approx(value, rel=1e-3, abs=2e-4), step


@every_sharding
@pytest.mark.parametrize("stage", ["sft", "distill", "whole"])
def test_the_adapter_is_gathered_whole_and_is_the_one_that_one_process_learns(
    stage: str, alone: Path, together: Path
) -> None:
    check_adapters(stage, alone, together)


@pytest.mark.slow
@every_sharding
def test_the_adapter_of_preferences_is_too(alone_with_preference: Path, together_with_preference: Path) -> None:
    check_adapters("dpo", alone_with_preference, together_with_preference)


def check_adapters(stage: str, alone: Path, together: Path) -> None:
    expected, found = (load_file(folder / stage / ADAPTER_FILE) for folder in (alone, together))
    assert expected.keys() == found.keys()
    for tensor, value in expected.items():
        assert found[tensor].dtype == value.dtype
        # Adam makes a whole step of a gradient that is all but zero, and its sign then is chance.
        close = np.isclose(found[tensor].astype(float), value.astype(float), atol=3e-3)
        assert close.mean() > 0.98, tensor


@every_sharding
def test_a_run_of_two_processes_goes_on_as_it_would_have_gone(together: Path) -> None:
    expected, found = (lines(together / stage, "loss") for stage in ("sft", "again"))
    assert found.keys() == expected.keys() == {1, 2, 3}
    assert found[3] == pytest.approx(expected[3], rel=1e-4)


@every_sharding
def test_what_is_sharded_is_sharded(together: Path) -> None:
    for rank in range(2):
        ((name, held),) = json.loads((together / f"held-{rank}.json").read_text()).items()
        if name == "zero3":  # the smallest ones it leaves whole
            del held[1:]
        assert held == HELD[name]


@pytest.mark.slow  # another way to share the work, and three interpreters that import everything
def test_the_command_in_a_configurations_first_line(
    alone: Path, audio_folder: Path, data: Path, tmp_path: Path
) -> None:
    """Data parallel, as it is typed: two interpreters, the launcher's own."""
    first = (CONFIGS / "ddp.yaml").read_text().splitlines()[0].removeprefix("# ")
    launch, recipe = first.split(" sft ")
    assert recipe == "--config training/configs/tiny/sft.yaml"
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", *launch.split()[1:]]
    run, out = commands(audio_folder, audio_folder, data, tmp_path, 2)[0], tmp_path / "sft"
    done = subprocess.run([*command, *run], capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stdout.count("8 records checked") == done.stdout.count(str(out / ADAPTER_FILE)) == 1, (
        "one of them speaks"
    )
    assert lines(out, "loss") == pytest.approx(lines(alone / "sft", "loss"), rel=1e-3)
    assert load_adapter(add_lora(open_model(audio_folder), 4), out / ADAPTER_FILE) == 4 + 28


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_configuration_says_how_it_is_run(file: Path) -> None:
    recipe = "-m training sft --config training/configs/tiny/sft.yaml"
    said = f"# accelerate launch --config_file training/configs/accelerate/{file.name} {recipe}"
    assert file.read_text().splitlines()[0] == said


def test_fsdp_without_gpus_says_what_to_take(
    llama_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    command = f"sft --base {llama_folder} --data {data / 'rows.jsonl'} --out {tmp_path} --steps 1 --report-to none"
    with pytest.raises(ValueError, match=r"a GPU each.*zero2\.yaml"):
        main(command.split())
