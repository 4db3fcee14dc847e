"""The whole method, rung by rung: speech is made, every stage trained, and what came out compared on recordings that no
stage has seen.

    speechsum-train ladder --work var/ladder
    speechsum-train ladder --work var/ladder --configs training/configs/tiny --clips 3000 --set sft.max_steps=600

Each rung is one command, run in a process of its own and printed; its options come from the YAML file of its name in
`--configs`, then from `--set RUNG.OPTION=VALUE`. Started again, it goes on: a rung whose command is the one that made
what lies there is left out, and from the first that differs everything is made anew. Last come `ladder.json` (every
answer), `ladder.md`, `ladder.png` and `curves.png`. Knows nothing about what the rungs do.
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
    """One command."""

    name: str
    command: list[str]

    @property
    def command_line(self) -> str:
        """The command as it could be typed."""
        return shlex.join(self.command)


def pipeline_steps(options: argparse.Namespace) -> Iterator[PipelineStep]:
    """Every rung in order. Raises ValueError for a `--set` that no rung takes."""
    work: Path = options.work
    extra = parse_overrides(options.set)
    known: set[str] = set()

    def work_path(*parts: str) -> str:
        return str(work.joinpath(*parts))

    def step(name: str, recipe: str, *arguments: str) -> PipelineStep:
        known.add(name)
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
    # The teacher is the twin taught further, from the student's own words: it must not have been taught less than it.
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
    shown = [part for system in systems for part in ("--system", system)]
    yield step("evaluate", "evaluate", "--records", work_path(EVAL_RECORDS), "--out", work_path("ladder.json"), *shown)
    logs = [work_path(stage, "log.json") for stage in ("align", "twin", "teacher", *stages.values())]
    yield step("curves", "curves", *logs, "--out", work_path("curves.png"))
    if unknown := sorted(extra.keys() - known):
        raise ValueError(f"--set names {unknown[0]!r}; the rungs are {', '.join(sorted(known))}")


def parse_overrides(given: list[str]) -> dict[str, list[str]]:
    """`sft.max_steps=300` → {"sft": ["--max-steps", "300"]}. Raises ValueError for anything else."""
    out: dict[str, list[str]] = {}
    for text in given:
        path, equals, value = text.partition("=")
        name, dot, option = path.partition(".")
        if not (equals and dot and name and option):
            raise ValueError(f"--set {text!r} should read RUNG.OPTION=VALUE")
        out.setdefault(name, []).extend([f"--{option.replace('_', '-')}", *value.split()])
    return out


def run_pipeline(options: argparse.Namespace) -> int:
    """Run what has to be run. Raises CalledProcessError where a rung breaks; what it left does not count as made."""
    all_rungs = list(pipeline_steps(options))
    options.work.mkdir(parents=True, exist_ok=True)
    done_file = options.work / "done.json"
    done: dict[str, str] = json.loads(done_file.read_text()) if done_file.exists() else {}
    fresh = True
    for number, rung in enumerate(all_rungs, 1):
        fresh = fresh and _with_new_names(done.get(rung.name, "")) == rung.command_line
        if fresh:
            print(f"[{number}/{len(all_rungs)}] {rung.name}: is there", flush=True)
            continue
        print(f"[{number}/{len(all_rungs)}] {rung.name}: {rung.command_line}", flush=True)
        if options.dry_run:
            continue
        below = {r.name for r in all_rungs[: number - 1]}
        done = {name: line for name, line in done.items() if name in below}  # what stands on it is no longer good
        done_file.write_text(json.dumps(done, indent=1) + "\n")
        began = time.monotonic()
        run_step(rung)
        done[rung.name] = rung.command_line
        done_file.write_text(json.dumps(done, indent=1) + "\n")
        print(f"[{number}/{len(all_rungs)}] {rung.name}: {time.monotonic() - began:.0f} s", flush=True)
    return 0


def _with_new_names(command_line: str) -> str:
    """Return the command line of an earlier release in the words of this one, so that what it made still counts."""
    return shlex.join(OLD_OPTIONS.get(word, word) for word in shlex.split(command_line))


def run_step(rung: PipelineStep) -> None:
    """Run one rung in a process of its own."""
    subprocess.run([sys.executable, *rung.command[1:]], check=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    tiny = Path(__file__).parents[1] / "configs" / "tiny"
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--configs", type=Path, default=tiny, help="folder of YAML files, one a rung [configs/tiny]")
    parser.add_argument("--set", action="append", default=[], help="RUNG.OPTION=VALUE, over the YAML; once for each")
    parser.add_argument("--clips", type=int, default=3000, help="recordings to train on")
    add_option(parser, "--eval-clips", "--held", type=int, default=20, help="Recordings to compare the systems on.")
    parser.add_argument("--max-words", type=int, default=60, help="longest text spoken")
    parser.add_argument("--engines", default="flite:0.7,espeak:0.3", help="voices to train on")
    what = "Voices of these recordings; the training data has none of them."
    add_option(parser, "--eval-engines", "--held-engines", default="flite:0.5,espeak:0.5", help=what)
    parser.add_argument("--jobs", type=int, default=2, help="processes that speak")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dry-run", action="store_true", help="print what would run")


def run(options: argparse.Namespace) -> int:
    """The `ladder` command."""
    return run_pipeline(options)
