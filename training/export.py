"""Export: trained adapters → a version in the registry, proven to load in vLLM before its manifest is written.

    speechsum-train export --name speechsum-tiny --version 1 --architecture audioflamingo3 --stage sft \\
        --adapter var/runs/align/adapter.safetensors var/runs/sft/adapter.safetensors --log var/runs/align/log.json …

Adapters are laid over one another in order (a later projector replaces an earlier one) and stored as one file.
`--folder-only` writes the merged weights to a folder instead: the base a next stage trains from.
"""

import argparse
import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from app.prompts import PROMPT_FORMAT
from model_repo.architectures import BUILDERS, CONTEXT, MAX_AUDIO_SECONDS, Base
from model_repo.assemble import LORA_A, LORA_B, build_base, ensure, first_digest, merged, write
from model_repo.cache import sha256
from model_repo.manifest import Adapter, AudioLimits, Figures, Manifest
from model_repo.registry import ROOT
from training.checkpoint import SCALE, save_adapter

PARTS = {
    "audioflamingo3": ["whisper-tiny-en", "smollm2-135m-instruct-q4_1"],
    "llama": ["smollm2-135m-instruct-q4_1"],
}
BESIDE = {"audioflamingo3": [], "llama": ["whisper-tiny-en-ct2"]}
# A cascade's limit is the transcript's length; speech rarely passes 4 tokens a second, and a fuller one is refused by
# count.
CASCADE_SECONDS = 1500
DESCRIPTIONS = {
    "audioflamingo3": "Hears: Whisper tiny.en's encoder, a projector and SmolLM2-135M as one model; no transcript.",
    "llama": "Cascade: Whisper tiny.en writes a transcript, SmolLM2-135M, taught on transcripts, summarizes it.",
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


def to_registry(options: argparse.Namespace) -> Manifest:
    """Write `<root>/<name>/<version>/`: the adapter, then, once vLLM has loaded and run the result, the manifest."""
    architecture = options.architecture
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
    cascade = architecture == "llama"
    manifest = Manifest(
        name=options.name,
        version=options.version,
        kind="cascade" if cascade else "audio-llm",
        architecture=architecture,
        description=DESCRIPTIONS[architecture],
        prompt_format=PROMPT_FORMAT,
        context_tokens=CONTEXT,
        audio=AudioLimits(max_seconds=CASCADE_SECONDS if cascade else MAX_AUDIO_SECONDS),
        stage=options.stage,
        parent=options.parent,
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


def record_of(options: argparse.Namespace) -> dict[str, Any]:
    """What it was trained with: commit, library versions, data digests, the stages' logs in short."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit,
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "trl")},
        "commands": options.command_line,
        "data": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in options.data},
        "last_log": {str(file.parent.name): json.loads(file.read_text())[-1] for file in options.log},
    }


def load_check(folder: Path, cascade: bool) -> None:
    """Load a checkpoint in vLLM, in a process of its own, and let it write a few tokens. Raises CalledProcessError."""
    code = f"from training.export import first_tokens; print(first_tokens({str(folder)!r}, {cascade}))"
    subprocess.run([sys.executable, "-c", f"if __name__ == '__main__': {code}"], check=True)


def first_tokens(folder: str, cascade: bool) -> str:
    """What vLLM writes first for a second of a tone, or for a one-line transcript."""
    from app.engine.base import Finished
    from app.engine.vllm_core import Sampling, VllmCore
    from app.prompts import Style, audio_messages, instruction, transcript_messages
    from app.settings import EngineSettings

    async def go() -> str:
        core = VllmCore(Path(folder), CONTEXT, EngineSettings(max_num_seqs=2), audio=not cascade)
        await core.start()
        ask = instruction(Style())
        messages = transcript_messages(ask, "Hello, call me back.") if cascade else audio_messages(ask)
        tone = None if cascade else np.sin(np.arange(16_000) * 0.1).astype(np.float32)
        events = [e async for e in core.stream(core.prompt(messages), Sampling(8), "load-check", tone)]
        await core.stop()
        last = events[-1]
        assert isinstance(last, Finished)
        assert last.completion_tokens
        return "".join(getattr(event, "text", "") for event in events)

    return asyncio.run(go())


def add_figures(root: Path, name: str, version_: str, figures: Figures) -> None:
    """Write measured figures into a version's manifest."""
    manifest = Manifest.read(root / name / version_)
    manifest.figures = figures
    manifest.write(root / name / version_)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--architecture", choices=sorted(PARTS), required=True)
    parser.add_argument("--adapter", type=Path, nargs="*", default=[], help="adapter files, in order")
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
    parser.add_argument("--stage", default="sft", help="training stage that ended here")
    parser.add_argument("--parent", help="name@version it was trained from")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="training files, for their digests")
    parser.add_argument("--log", type=Path, nargs="*", default=[], help="log.json of each stage")
    parser.add_argument("--command-line", nargs="*", default=[], help="the commands that trained it, for the record")
    parser.add_argument("--root", type=Path, default=ROOT, help="registry folder")
    parser.add_argument(
        "--scratch", type=Path, default=Path("var/export"), help="folder for the assembled weights meanwhile"
    )


def run(options: argparse.Namespace) -> int:
    """The `export` command."""
    if options.folder_only:
        print(to_folder(options.architecture, options.adapter, options.folder_only, options.parts))
    else:
        print(to_registry(options).id)
    return 0
