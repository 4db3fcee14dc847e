"""Export: trained adapters become a version in the registry. Its manifest is written when the version has been loaded
in vLLM.

    speechsum-train export --name speechsum-tiny --version 1 --architecture audioflamingo3 --stage sft \\
        --parent cascade-tiny@2 --run var/runs/align var/runs/sft

`--run` takes the folders of the recipes (their `--out`), in order, and uses the adapter, options, data digests and log
of each. `--adapter`, `--data`, `--log` and `--command-line` are for what was trained elsewhere, or is below the runs.
An adapter that a later run began from is left out, because the later one contains it. Adapters are combined in order (a
later projector replaces an earlier one) and stored as one file. `--folder-only` writes the merged weights to a folder
instead: the base from which the next stage trains.

    speechsum-train export --folder-only OUT --base /path/to/checkpoint --adapter var/runs/sft/adapter.safetensors

does the same for a checkpoint folder of your own, of any family in `training.families`: a copy of all its files, with
the weights under the names that vLLM loads.

    speechsum-train export --take-up speechsum-tiny --folder-only var/aligned

writes the folder from which a version of the registry can be trained further, and two files beside it:
`aligned.start.safetensors`, to be given as `--start`, and `aligned.below.safetensors`, which the export of the result
has to name as `--adapter`, below the runs.
"""

import argparse
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.core.prompts import PROMPT_FORMAT
from model_repo.architectures import BASE_BUILDERS, CONTEXT_TOKENS, BaseCheckpoint
from model_repo.assemble import (
    assemble_checkpoint,
    build_base_checkpoint,
    merge_adapter,
    part_digest,
    write_checkpoint,
)
from model_repo.cache import file_sha256
from model_repo.manifest import Adapter, AudioLimits, Figures, Manifest
from model_repo.registry import REGISTRY_ROOT, resolve_model
from training.families import family_of_folder
from training.models.adapter_tensors import overlay_adapters, weaken_adapter
from training.models.checkpoint import LORA_SCALE, save_adapter
from training.models.merge_adapters import write_merged_copy
from training.models.registry_entries import REGISTRY_ENTRIES
from training.models.split_adapter import write_split_adapter
from training.runtime import run_record


def export_folder(
    architecture: str, adapters: list[Path], folder: Path, parts: Path | None = None, share: float = 1.0
) -> Path:
    """Write base weights with the adapters merged as a checkpoint folder, and return the folder.

    parts: folder of the base parts, one folder each, which are used unchecked. Without it they are fetched and
    verified. share: of what the adapters change.
    """
    names = list(REGISTRY_ENTRIES[architecture].base_parts)
    base = (
        BASE_BUILDERS[architecture]({n: parts / n for n in names})
        if parts
        else build_base_checkpoint(architecture, names)
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_checkpoint(
        BaseCheckpoint(
            merge_adapter(base.tensors, weaken_adapter(overlay_adapters(adapters), share), LORA_SCALE), base.files
        ),
        folder,
    )
    return folder


def export_copy(base: Path, adapters: list[Path], folder: Path) -> Path:
    """Write a copy of a checkpoint folder with the adapters merged and the files that vLLM needs, and return it.

    Raises ValueError, before anything is written, if the family is not known or a file is missing.
    """
    family = family_of_folder(base)
    needs = family.serving_facts.required_files if family.serving_facts else ()
    if missing := [name for name in needs if not (base / name).is_file()]:
        raise ValueError(f"{base} has no {' and no '.join(missing)}, without which vLLM cannot load it")
    write_merged_copy(base, overlay_adapters(adapters), folder, LORA_SCALE, family.derived_files)
    family.write_vllm_files(folder)
    if family.serving_facts:
        print(f"speechsum serve --model {folder.resolve()}")
    return folder


def export_version(options: argparse.Namespace) -> Manifest:
    """Write the folder `<root>/<name>/<version>/`: the adapter, and when vLLM has loaded and run the result, the
    manifest. Return the manifest.
    """
    architecture = options.architecture
    entry = REGISTRY_ENTRIES[architecture]
    parent = resolve_model(options.root, options.parent) if options.parent else None
    folder = options.root / options.name / options.version
    folder.mkdir(parents=True, exist_ok=True)
    tensors = weaken_adapter(overlay_adapters(options.adapter), options.share)
    file = folder / "adapter.safetensors"
    if tensors:
        save_adapter(tensors, file)
    assembled = options.scratch / f"{options.name}-{options.version}"
    base = build_base_checkpoint(architecture, list(entry.base_parts))
    shutil.rmtree(assembled, ignore_errors=True)  # files of a failed export must not get into the manifest
    assembled.mkdir(parents=True)
    write_checkpoint(BaseCheckpoint(merge_adapter(base.tensors, tensors, LORA_SCALE), base.files), assembled)
    manifest = Manifest(
        name=options.name,
        version=options.version,
        kind="cascade" if entry.is_cascade else "audio-llm",
        architecture=architecture,
        description=(entry.description if tensors else entry.untrained_description) or entry.description,
        languages=list(entry.languages),
        prompt_format=PROMPT_FORMAT,
        context_tokens=CONTEXT_TOKENS,
        audio=audio_limits(architecture, options.run_folders),
        section_tokens=entry.section_tokens,
        needs=entry.needs,
        default_candidate=entry.default_candidate,
        stage=training_stage(options),
        parent=parent.id if parent else None,
        parent_sha256=parent.digest if parent else None,
        parts={part: part_digest(part) for part in (*entry.base_parts, *entry.recognizer_parts)},
        beside=list(entry.recognizer_parts),
        adapter=Adapter(sha256=file_sha256(file), scale=LORA_SCALE) if tensors else None,
        weights={path.name: file_sha256(path) for path in sorted(assembled.iterdir())},
        training=training_record(options),
    )
    verify_load(assembled, entry.is_cascade)
    manifest.write(folder)
    assemble_checkpoint(manifest)  # the registry has to assemble the same bytes
    shutil.rmtree(assembled)
    return manifest


def audio_limits(architecture: str, run_folders: list[Path]) -> AudioLimits:
    """Return the limits of one pass of the model: those of the architecture, with the length of the recordings it was
    trained on. Of several runs that is the longest, because each continues from the one before.
    """
    entry = REGISTRY_ENTRIES[architecture]
    lengths = [run_record.read_run_record(folder).get("audio_seconds", {}).get("p95", 0.0) for folder in run_folders]
    if entry.is_cascade or not any(lengths):  # a cascade's recognizer is not trained here
        return entry.audio
    return entry.audio.model_copy(update={"trained_seconds": min(max(lengths), entry.audio.max_seconds)})


def training_record(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the manifest says about training: commit and library versions of the export, and every run."""
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": run_record.git_commit(),
        "versions": run_record.library_versions(),
        "runs": [run_record.read_run_record(folder) for folder in options.run_folders],
        "commands": options.command_line,
        "share": options.share,
        "data": run_record.file_digests(options.data),
        "last_log": {str(file.parent.name): json.loads(file.read_text())[-1] for file in options.log},
    }


def training_stage(options: argparse.Namespace) -> str:
    """Return the stage that `--stage` names, or that of the last run."""
    last = run_record.read_run_record(options.run_folders[-1])["stage"] if options.run_folders else "sft"
    return str(options.stage or last)


def verify_load(folder: Path, cascade: bool) -> None:
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
    """Add the command's options."""
    parser.add_argument(
        "--architecture",
        choices=sorted(REGISTRY_ENTRIES),
        help="Architecture whose base parts the adapters were trained on.",
    )
    parser.add_argument(
        "--base", type=Path, help="With --folder-only: checkpoint folder they were trained on, instead of base parts."
    )
    parser.add_argument(
        "--run",
        dest="run_folders",
        type=Path,
        nargs="+",
        default=[],
        help="Folders of the stages' recipes (their --out), in order: adapter, options, data digests and log of each.",
    )
    parser.add_argument("--adapter", type=Path, nargs="*", default=[], help="Adapter files, in order, below the runs'.")
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="Share of what the adapters change that is kept, from 0 (the base's weights) to 1 [1].",
    )
    parser.add_argument("--take-up", help="With --folder-only: NAME[@VERSION] of the registry to train further.")
    parser.add_argument(
        "--folder-only", type=Path, help="Write merged weights to this folder, and nothing to the registry."
    )
    parser.add_argument(
        "--parts",
        type=Path,
        help="With --folder-only: folder of base parts, which are used unchecked. Nothing is fetched.",
    )
    parser.add_argument("--name", help="Name in the registry.")
    parser.add_argument("--version", default="1", help="Version in the registry.")
    parser.add_argument("--stage", help="Training stage of the result [that of the last run, or sft without a run].")
    parser.add_argument("--parent", help="NAME@VERSION in the registry that it was trained from.")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="Training files, for their digests.")
    parser.add_argument("--log", type=Path, nargs="*", default=[], help="log.json of each stage.")
    parser.add_argument("--command-line", nargs="*", default=[], help="The commands that trained it, for the record.")
    parser.add_argument("--root", type=Path, default=REGISTRY_ROOT, help="Folder of the registry.")
    parser.add_argument(
        "--scratch", type=Path, default=Path("var/export"), help="Temporary folder for the assembled weights."
    )


def write_training_start(options: argparse.Namespace) -> int:
    """Write a version of the registry as a folder to train further, and the adapter to start from."""
    if not options.folder_only:
        raise ValueError("--take-up needs --folder-only, the folder to write")
    manifest = resolve_model(options.root, options.take_up)
    below, start = write_split_adapter(manifest, options.folder_only)
    export_folder(manifest.architecture, below, options.folder_only, options.parts)
    print("\n".join(map(str, [options.folder_only, start, *below])))
    return 0


def run(options: argparse.Namespace) -> int:
    """Run the `export` command."""
    if options.take_up:
        return write_training_start(options)
    options.adapter = [*options.adapter, *run_record.final_adapters(options.run_folders)]
    if (options.base is None) == (options.architecture is None):
        raise ValueError("give either --architecture, for base parts, or --base, for a checkpoint folder of your own")
    if options.base and not options.folder_only:
        raise ValueError("a version of the registry is made of base parts: --base needs --folder-only")
    if options.base:
        print(export_copy(options.base, options.adapter, options.folder_only))
    elif options.folder_only:
        print(export_folder(options.architecture, options.adapter, options.folder_only, options.parts, options.share))
    else:
        print(export_version(options).id)
    return 0
