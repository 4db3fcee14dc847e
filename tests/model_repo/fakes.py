"""A registry of small fakes on disk, and the real language model's file, opened once."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from app.core.prompts import PROMPT_FORMAT
from model_repo import assemble
from model_repo.architectures import BaseCheckpoint, Tensors
from model_repo.cache import file_sha256
from model_repo.gguf_model import GgufModel
from model_repo.manifest import Adapter, AudioLimits, Figures, Manifest
from model_repo.parts import fetch_part

SCALE = 2.0


@functools.cache
def smollm() -> GgufModel:
    """SmolLM2's GGUF file from the cache (fetched at the first call on a machine)."""
    (file,) = fetch_part("smollm2-135m-instruct-q4_1").iterdir()
    return GgufModel(file)


def base() -> BaseCheckpoint:
    """Two tensors and a configuration."""
    tensors = {
        "a.weight": np.arange(12, dtype=np.float32).reshape(4, 3),
        "b.weight": np.full((2, 2), 7, np.float32),
    }
    return BaseCheckpoint(tensors, {"config.json": "{}\n"})


def adapter() -> dict[str, Any]:
    """A low-rank pair for the one and another value for the other."""
    draw = np.random.default_rng(3)
    return {
        "a.lora_A.weight": draw.normal(size=(2, 3)).astype(np.float16),
        "a.lora_B.weight": draw.normal(size=(4, 2)).astype(np.float16),
        "b.weight": draw.normal(size=(2, 2)).astype(np.float16),
    }


def manifest(name: str = "tiny", version: str = "1", score: float | None = None, **more: Any) -> Manifest:
    """A manifest of the fake architecture."""
    figures = None if score is None else Figures(score=score, command="measure", result="results/x.json")
    fields = {
        "kind": "audio-llm",
        "architecture": "fake",
        "description": "A fake.",
        "prompt_format": PROMPT_FORMAT,
        "context_tokens": 8192,
        "audio": AudioLimits(max_seconds=300),
        "stage": "sft",
        "parts": {},
        "weights": {},
    }
    return Manifest(name=name, version=version, figures=figures, **(fields | more))


def version_in(root: Path) -> Manifest:
    """Write `tiny@1` with its adapter into a registry, as an export does; the manifest as read back."""
    folder, scratch = root / "tiny" / "1", root / "scratch"
    folder.mkdir(parents=True)
    scratch.mkdir()
    save_file(adapter(), folder / "adapter.safetensors")
    tensors: Tensors = assemble.merge_adapter(base().tensors, adapter(), SCALE)
    assemble.write_checkpoint(BaseCheckpoint(tensors, base().files), scratch)
    manifest(
        adapter=Adapter(sha256=file_sha256(folder / "adapter.safetensors"), scale=SCALE),
        weights={file.name: file_sha256(file) for file in scratch.iterdir()},
    ).write(folder)
    return Manifest.read(folder)
