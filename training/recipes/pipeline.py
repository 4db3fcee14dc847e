"""The whole method: speech is made, every stage is trained, and all systems are compared on recordings that no stage
has seen.

    speechsum-train ladder --work var/ladder
    speechsum-train ladder --work var/ladder --configs training/configs/tiny --clips 3000 --set sft.max_steps=600

Each step is one command, which is printed and run in a process of its own. Its options come from the YAML file of the
step's name in `--configs`, then from `--set STEP.OPTION=VALUE`. A run that is started again skips the steps whose
command has not changed; from the first step that differs, everything is made again. The last files are `ladder.json`
(every answer), `ladder.md`, `ladder.png` and `curves.png`. Knows nothing about what the steps do.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.runtime.option_names import add_option

TEXT_RECORDS, TRAIN_RECORDS, EVAL_RECORDS = "speech/texts.jsonl", "speech/records.jsonl", "held/records.jsonl"
ABLATIONS = {"silent": "given silence", "shuffled": "given another recording"}
OLD_OPTIONS = {"--held": "--eval-data", "--features": "--feature-cache"}  # which earlier releases wrote in `done.json`
PYTHON_PLACEHOLDER = "python"  # stands for this interpreter in what is printed and remembered


@dataclass(frozen=True)
class PipelineStep:
    """One command of the pipeline."""

    name: str
    command: list[str]

    @property
    def command_line(self) -> str:
        """The command as it can be typed into a shell."""
        return shlex.join(self.command)


def pipeline_steps(options: argparse.Namespace) -> Iterator[PipelineStep]:
    """Yield every step in order. Raises ValueError if `--set` names a step that does not exist."""
    work: Path = options.work
    extra = parse_overrides(options.set)
    names: set[str] = set()

    def work_path(*parts: str) -> str:
        return str(work.joinpath(*parts))

    def step(name: str, recipe: str, *arguments: str) -> PipelineStep:
        names.add(name)
        config = options.configs / f"{name}.yaml"
        given = ["--config", str(config)] if config.exists() else []
        command = [PYTHON_PLACEHOLDER, "-m", "training", *recipe.split(), *given, *arguments, *extra.get(name, [])]
        return PipelineStep(name, command)

    def export(name: str, architecture: str, *adapters: str) -> PipelineStep:
        files = ["--adapter", *(work_path(adapter, "adapter.safetensors") for adapter in adapters)] if adapters else []
        target = ["--architecture", architecture, "--folder-only", work_path(name)]
        return step(name, "export", *target, *files)

    def speech(name: str, split: str, count: int, seed: int, engines: str) -> PipelineStep:
        what = ["--n", str(count), "--seed", str(seed), "--split", split, "--max-words", str(options.max_words)]
        how = ["--engines", engines, "--jobs", str(options.jobs)]
        return step(name, "data generate", "--out", work_path(name), *what, *how)

    def train_step(name: str, recipe: str, base: str, data: str, *more: str) -> PipelineStep:
        where = ["--base", work_path(base), "--data", work_path(data), "--out", work_path(name)]
        return step(name, recipe, *where, *more)

    def start(name: str) -> list[str]:
        return ["--start", work_path(name, "adapter.safetensors")]

    held = ["--eval-data", work_path(EVAL_RECORDS)]
    yield speech("speech", "train", options.clips, options.seed, options.engines)
    yield speech("held", "test", options.eval_clips, options.seed + 1, options.eval_engines)
    yield export("base", "audioflamingo3")
    yield export("text", "llama")
    yield train_step("align", "align", "base", TRAIN_RECORDS, *held, "--feature-cache", work_path("features"))
    yield export("aligned", "audioflamingo3", "align")
    yield train_step("twin", "sft", "text", TEXT_RECORDS)
    yield train_step("sft", "sft", "aligned", TRAIN_RECORDS, *held, *start("twin"))
    # The teacher is the twin trained further from the student's language model: a weaker one pulls the student back.
    yield train_step("teacher", "sft", "text", TEXT_RECORDS, *start("sft"))
    yield export("reader", "llama", "teacher")
    yield train_step(
        "distill", "distill", "aligned", TRAIN_RECORDS, *held, *start("sft"), "--teacher", work_path("reader")
    )
    pairs = ["--base", work_path("aligned"), "--data", work_path(TRAIN_RECORDS), "--out", work_path("pairs.jsonl")]
    yield step("pairs", "pairs", *pairs, *start("distill"))
    yield train_step("dpo", "dpo", "aligned", "pairs.jsonl", *held, *start("distill"))
    stages = {"SFT": "sft", "SFT, KD": "distill", "SFT, KD, DPO": "dpo"}
    for stage in stages.values():
        yield export(f"{stage}-merged", "audioflamingo3", "align", stage)
    systems = [f"base=hears:{work_path('aligned')}"]
    systems += [f"{title}=hears:{work_path(f'{stage}-merged')}" for title, stage in stages.items()]
    systems += [f"SFT, KD, DPO, {what}={kind}:{work_path('dpo-merged')}" for kind, what in ABLATIONS.items()]
    systems += [f"cascade, Whisper and the text twin=cascade:{work_path('reader')}"]
    systems += [f"untaught text model, true transcript=reads:{work_path('text')}"]
    systems += [f"text twin, true transcript=reads:{work_path('reader')}", "the data's own=reference"]
    system_options = [part for system in systems for part in ("--system", system)]
    yield step(
        "evaluate", "evaluate", "--records", work_path(EVAL_RECORDS), "--out", work_path("ladder.json"), *system_options
    )
    logs = [work_path(stage, "log.json") for stage in ("align", "twin", "teacher", *stages.values())]
    yield step("curves", "curves", *logs, "--out", work_path("curves.png"))
    if unknown := sorted(extra.keys() - names):
        raise ValueError(f"--set names the step {unknown[0]!r}; the steps are {', '.join(sorted(names))}")


def parse_overrides(given: list[str]) -> dict[str, list[str]]:
    """`sft.max_steps=300` → {"sft": ["--max-steps", "300"]}. Raises ValueError for any other form."""
    out: dict[str, list[str]] = {}
    for text in given:
        path, equals, value = text.partition("=")
        name, dot, option = path.partition(".")
        if not (equals and dot and name and option):
            raise ValueError(f"--set {text!r} should have the form STEP.OPTION=VALUE")
        out.setdefault(name, []).extend([f"--{option.replace('_', '-')}", *value.split()])
    return out


def run_pipeline(options: argparse.Namespace) -> int:
    """Run the steps that are not done yet. Raises CalledProcessError if a step fails, which then does not count as
    done.
    """
    all_steps = list(pipeline_steps(options))
    options.work.mkdir(parents=True, exist_ok=True)
    done_file = options.work / "done.json"
    done: dict[str, str] = json.loads(done_file.read_text()) if done_file.exists() else {}
    fresh = True
    for number, step in enumerate(all_steps, 1):
        fresh = fresh and _with_new_names(done.get(step.name, "")) == _with_new_names(step.command_line)
        if fresh:
            print(f"[{number}/{len(all_steps)}] {step.name}: is done already", flush=True)
            continue
        print(f"[{number}/{len(all_steps)}] {step.name}: {step.command_line}", flush=True)
        if options.dry_run:
            continue
        below = {one.name for one in all_steps[: number - 1]}
        done = {name: line for name, line in done.items() if name in below}  # later steps use what this one makes
        done_file.write_text(json.dumps(done, indent=1) + "\n")
        began = time.monotonic()
        run_step(step)
        done[step.name] = step.command_line
        done_file.write_text(json.dumps(done, indent=1) + "\n")
        print(f"[{number}/{len(all_steps)}] {step.name}: {time.monotonic() - began:.0f} s", flush=True)
    return 0


def _with_new_names(command_line: str) -> str:
    """Return the command line of an earlier release in the words of this one, so that what it made still counts."""
    return shlex.join(OLD_OPTIONS.get(word, word) for word in shlex.split(command_line))


def run_step(step: PipelineStep) -> None:
    """Run one step in a process of its own."""
    subprocess.run([sys.executable, *step.command[1:]], check=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    tiny = Path(__file__).parents[1] / "configs" / "tiny"
    parser.add_argument("--work", type=Path, required=True, help="Folder for everything that is made.")
    parser.add_argument(
        "--configs", type=Path, default=tiny, help="Folder of YAML files, one for each step [configs/tiny]."
    )
    parser.add_argument(
        "--set", action="append", default=[], help="STEP.OPTION=VALUE, which overrides the YAML file. May be repeated."
    )
    parser.add_argument("--clips", type=int, default=3000, help="Recordings to train on.")
    add_option(parser, "--eval-clips", "--held", type=int, default=20, help="Recordings to compare the systems on.")
    parser.add_argument("--max-words", type=int, default=60, help="Words of the longest text that is spoken.")
    parser.add_argument(
        "--engines", default="flite:0.7,espeak:0.3", help="Voices of the training data, with their shares."
    )
    what = "Voices of these recordings; the training data has none of them."
    add_option(parser, "--eval-engines", "--held-engines", default="flite:0.5,espeak:0.5", help=what)
    parser.add_argument("--jobs", type=int, default=2, help="Processes that make speech.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dry-run", action="store_true", help="Print the commands and run none.")


def run(options: argparse.Namespace) -> int:
    """Run the `ladder` command."""
    return run_pipeline(options)
