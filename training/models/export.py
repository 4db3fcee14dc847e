"""Export: trained adapters → a version in the registry, proven to load in vLLM before its manifest is written.

    speechsum-train export --name speechsum-tiny --version 1 --architecture audioflamingo3 --stage sft \\
        --parent cascade-tiny@2 --run var/runs/align var/runs/sft

`--run` takes the recipes' own folders, in order, and from each its adapter, options, data digests and log; `--adapter`,
`--data`, `--log` and `--command-line` are for what was trained elsewhere, or lies under the runs. An adapter that a
later run began from is not laid under it again. Adapters are laid over one another in order (a later projector replaces
an earlier one) and stored as one file. `--folder-only` writes the merged weights to a folder instead: the base a next
stage trains from.

    speechsum-train export --folder-only OUT --base /path/to/checkpoint --adapter var/runs/sft/adapter.safetensors

does so for a checkpoint folder of your own, of any family in `training.families`: a copy with every companion file,
the weights under the names vLLM loads.

    speechsum-train export --take-up speechsum-tiny --folder-only var/aligned

writes the folder from which a version of the registry can be trained on, and beside it `aligned.start.safetensors`, to
`--start` from, and `aligned.below.safetensors`, which the export of what came out has to name as `--adapter`, under the
runs.
"""

import argparse
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from app.core.prompts import PROMPT_FORMAT
from model_repo.architectures import BUILDERS, CONTEXT, MAX_AUDIO_SECONDS, Base
from model_repo.assemble import LORA_A, LORA_B, build_base, ensure, first_digest, merged, write
from model_repo.cache import sha256
from model_repo.manifest import Adapter, AudioLimits, Figures, Manifest
from model_repo.registry import ROOT, resolve
from training.families import family_in
from training.models.checkpoint import SCALE, save_adapter
from training.models.merge_adapters import merged_copy
from training.models.split_adapter import write_parts
from training.runtime import run_record

PARTS = {
    "audioflamingo3": ["whisper-tiny-en", "smollm2-135m-instruct-q4_1"],
    "llama": ["smollm2-135m-instruct-q4_1"],
    "qwen2": ["qwen2.5-coder-0.5b-instruct-q4_k_m"],
}
BESIDE = {"audioflamingo3": [], "llama": ["whisper-tiny-en-ct2"], "qwen2": ["whisper-base-ct2"]}
# Longer recordings are noted down in windows shorter than a pass, whose features take less memory. A cascade's limit is
# the transcript's length; speech rarely passes 4 tokens a second, and a fuller one is refused by count.
LIMITS = {
    "audioflamingo3": AudioLimits(max_seconds=MAX_AUDIO_SECONDS, note_seconds=120),
    "llama": AudioLimits(max_seconds=1500),
    # Russian, Korean or Chinese may take twice the tokens that English does.
    "qwen2": AudioLimits(max_seconds=600, note_seconds=300),
}
# What a model writes where that is not English alone. Qwen2.5's languages by its authors' word; all of them are
# among the ninety-nine that Whisper base hears.
LANGUAGES = {
    "qwen2": ["en", "zh", "fr", "es", "pt", "de", "it", "ru", "ja", "ko", "vi", "th", "ar"],
}
DESCRIPTIONS = {
    "audioflamingo3": "Hears: Whisper tiny.en's encoder, a projector and SmolLM2-135M as one model; no transcript.",
    "llama": "Cascade: Whisper tiny.en writes a transcript, SmolLM2-135M, taught on transcripts, summarizes it.",
    "qwen2": "Cascade: Whisper base writes a transcript, Qwen2.5-Coder-0.5B-Instruct summarizes it; both as published.",
}


def overlaid(adapters: list[Path]) -> dict[str, NDArray[np.float16]]:
    """The adapters' tensors, whole ones of a later file over those of an earlier.

    Raises ValueError where two files hold a low-rank pair for one module: a pair says nothing without the weights it
    was trained on, so the later one cannot stand for both.
    """
    out: dict[str, NDArray[np.float16]] = {}
    for file in adapters:
        tensors = load_file(file)
        if twice := sorted(name for name in tensors.keys() & out.keys() if name.endswith((LORA_A, LORA_B))):
            raise ValueError(
                f"{file} and a file before it both hold {twice[0]}: start the later run from the earlier one"
            )
        out |= tensors
    for name in out:
        if name.endswith(LORA_A) and (whole := name.removesuffix(LORA_A) + ".weight") in out:
            raise ValueError(
                f"the adapters hold {whole} whole and a low-rank pair on it, which was trained on other weights: "
                "export the whole one with --folder-only and train the pair from there"
            )
    return out


def to_folder(architecture: str, adapters: list[Path], folder: Path, parts: Path | None = None) -> Path:
    """Write base weights with the adapters merged as a loadable checkpoint folder.

    parts: where the base parts lie, a folder each, taken as they are; without it they are fetched and verified.
    """
    names = PARTS[architecture]
    base = BUILDERS[architecture]({n: parts / n for n in names}) if parts else build_base(architecture, names)
    folder.mkdir(parents=True, exist_ok=True)
    write(Base(merged(base.tensors, overlaid(adapters), SCALE), base.files), folder)
    return folder


def to_copy(base: Path, adapters: list[Path], folder: Path) -> Path:
    """Write a copy of a checkpoint folder with the adapters merged, and what vLLM needs beside it.

    Raises ValueError, before anything is written, for a folder of no known family or one that is not whole.
    """
    family = family_in(base)
    needs = family.facts.needs if family.facts else ()
    if missing := [name for name in needs if not (base / name).is_file()]:
        raise ValueError(f"{base} has no {' and no '.join(missing)}, without which vLLM cannot load it")
    merged_copy(base, overlaid(adapters), folder, SCALE, family.derived)
    family.serve(folder)
    if family.facts:
        print(f"speechsum serve --model {folder.resolve()}")
    return folder


def to_registry(options: argparse.Namespace) -> Manifest:
    """Write `<root>/<name>/<version>/`: the adapter, then, once vLLM has loaded and run the result, the manifest."""
    architecture = options.architecture
    parent = resolve(options.root, options.parent) if options.parent else None
    folder = options.root / options.name / options.version
    folder.mkdir(parents=True, exist_ok=True)
    tensors = overlaid(options.adapter)
    file = folder / "adapter.safetensors"
    if tensors:
        save_adapter(tensors, file)
    assembled = options.scratch / f"{options.name}-{options.version}"
    base = build_base(architecture, PARTS[architecture])
    shutil.rmtree(assembled, ignore_errors=True)  # what a failed export left must not get into the manifest
    assembled.mkdir(parents=True)
    write(Base(merged(base.tensors, tensors, SCALE), base.files), assembled)
    cascade = bool(BESIDE[architecture])
    manifest = Manifest(
        name=options.name,
        version=options.version,
        kind="cascade" if cascade else "audio-llm",
        architecture=architecture,
        description=DESCRIPTIONS[architecture],
        languages=LANGUAGES.get(architecture, ["en"]),
        prompt_format=PROMPT_FORMAT,
        context_tokens=CONTEXT,
        audio=limits_of(architecture, options.run_folders),
        stage=stage_of(options),
        parent=parent.id if parent else None,
        parent_sha256=parent.digest if parent else None,
        parts={part: first_digest(part) for part in PARTS[architecture] + BESIDE[architecture]},
        beside=BESIDE[architecture],
        adapter=Adapter(sha256=sha256(file), scale=SCALE) if tensors else None,
        weights={path.name: sha256(path) for path in sorted(assembled.iterdir())},
        training=record_of(options),
    )
    load_check(assembled, cascade)
    manifest.write(folder)
    ensure(manifest)  # the registry's own way to the same bytes
    shutil.rmtree(assembled)
    return manifest


def limits_of(architecture: str, run_folders: list[Path]) -> AudioLimits:
    """What one pass of the model takes: the architecture's limits, with the length that the runs were trained on. Of
    several runs it is the longest, since each teaches from where the one before ended.
    """
    limits = LIMITS[architecture]
    lengths = [run_record.collected(folder).get("audio_seconds", {}).get("p95", 0.0) for folder in run_folders]
    if BESIDE[architecture] or not any(lengths):  # a cascade's recognizer is not trained here
        return limits
    return limits.model_copy(update={"trained_seconds": min(max(lengths), limits.max_seconds)})


def record_of(options: argparse.Namespace) -> dict[str, Any]:
    """What it was trained with: commit and library versions of the export, and of every run what it left."""
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": run_record.commit(),
        "versions": run_record.versions(),
        "runs": [run_record.collected(folder) for folder in options.run_folders],
        "commands": options.command_line,
        "data": run_record.digests(options.data),
        "last_log": {str(file.parent.name): json.loads(file.read_text())[-1] for file in options.log},
    }


def stage_of(options: argparse.Namespace) -> str:
    """The stage that is named, or the last run's."""
    last = run_record.collected(options.run_folders[-1])["stage"] if options.run_folders else "sft"
    return str(options.stage or last)


def load_check(folder: Path, cascade: bool) -> None:
    """Load a checkpoint in vLLM and let it write a few tokens.

    The service's own engine does this in a process of its own, so that the pipeline imports nothing of it.

    Raises:
        CalledProcessError: vLLM could not load the checkpoint or wrote nothing.
    """
    command = [sys.executable, "-m", "app.engine.check_checkpoint", str(folder)]
    subprocess.run([*command, *(["--text-only"] if cascade else [])], check=True)


def add_figures(root: Path, name: str, version_: str, figures: Figures) -> None:
    """Write measured figures into a version's manifest."""
    manifest = Manifest.read(root / name / version_)
    manifest.figures = figures
    manifest.write(root / name / version_)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--architecture", choices=sorted(PARTS), help="whose base parts the adapters were trained on")
    parser.add_argument(
        "--base", type=Path, help="with --folder-only: checkpoint folder they were trained on, instead of base parts"
    )
    parser.add_argument(
        "--run",
        dest="run_folders",
        type=Path,
        nargs="+",
        default=[],
        help="what each stage's recipe wrote (its --out), in order: adapter, options, data digests and log at once",
    )
    parser.add_argument("--adapter", type=Path, nargs="*", default=[], help="adapter files, in order, under the runs'")
    parser.add_argument("--take-up", help="with --folder-only: NAME[@VERSION] of the registry to train on from")
    parser.add_argument(
        "--folder-only", type=Path, help="write merged weights to this folder, and nothing to the registry"
    )
    parser.add_argument(
        "--parts",
        type=Path,
        help="with --folder-only: folder of base parts to take as they are; nothing is fetched",
    )
    parser.add_argument("--name", help="name in the registry")
    parser.add_argument("--version", default="1", help="version in the registry")
    parser.add_argument("--stage", help="training stage that ended here [the last run's; sft where there is none]")
    parser.add_argument("--parent", help="name@version in the registry that it was trained from")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="training files, for their digests")
    parser.add_argument("--log", type=Path, nargs="*", default=[], help="log.json of each stage")
    parser.add_argument("--command-line", nargs="*", default=[], help="the commands that trained it, for the record")
    parser.add_argument("--root", type=Path, default=ROOT, help="registry folder")
    parser.add_argument(
        "--scratch", type=Path, default=Path("var/export"), help="folder for the assembled weights meanwhile"
    )


def take_up(options: argparse.Namespace) -> int:
    """A version of the registry as a folder to train on from, and where that begins."""
    if not options.folder_only:
        raise ValueError("--take-up writes a folder: name it with --folder-only")
    manifest = resolve(options.root, options.take_up)
    below, start = write_parts(manifest, options.folder_only)
    to_folder(manifest.architecture, below, options.folder_only, options.parts)
    print("\n".join(map(str, [options.folder_only, start, *below])))
    return 0


def run(options: argparse.Namespace) -> int:
    """The `export` command."""
    if options.take_up:
        return take_up(options)
    options.adapter = [*options.adapter, *run_record.standing(options.run_folders)]
    if (options.base is None) == (options.architecture is None):
        raise ValueError("say what was trained: --architecture for base parts, or --base for a folder of your own")
    if options.base and not options.folder_only:
        raise ValueError("a registry's version is made of base parts: with --base say --folder-only as well")
    if options.base:
        print(to_copy(options.base, options.adapter, options.folder_only))
    elif options.folder_only:
        print(to_folder(options.architecture, options.adapter, options.folder_only, options.parts))
    else:
        print(to_registry(options).id)
    return 0
