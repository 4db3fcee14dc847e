"""Assembles a checkpoint from base parts and an adapter, into a folder that an engine loads.

    python -m model_repo.assemble speechsum-tiny [--no-hub] [--root model_repo]

A checkpoint is built once and then cached; it has the same bits on every machine. LoRA pairs are merged here, because
vLLM refuses or ignores adapters on the projector, and serves merged weights faster. The merge adds rank-one products in
a fixed order in float64, one numpy operation at a time, so that the result, and with it the digest in the manifest,
does not depend on a BLAS library or on the processor.
"""

import argparse
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from app.core.prompts import PROMPT_FORMAT
from model_repo import registry
from model_repo.architectures import BASE_BUILDERS, COMPANION_FILES, TEXT_PARTS, BaseCheckpoint, Tensors
from model_repo.cache import atomic_folder, cache_root
from model_repo.gguf_model import GgufModel
from model_repo.manifest import Manifest
from model_repo.parts import PartError, fetch_part, find_part

WEIGHTS_FILE = "model.safetensors"
LORA_A_SUFFIX, LORA_B_SUFFIX = ".lora_A.weight", ".lora_B.weight"


def assemble_checkpoint(manifest: Manifest, *, cache: Path | None = None, from_hub: bool | None = None) -> Path:
    """Return the folder of the assembled checkpoint. It is built at the first call and verified at every call.

    Args:
        cache: the cache folder; by default the usual one.
        from_hub: whether to fetch base parts from a model hub, as `model_repo.parts.fetch_part` takes it.

    Raises:
        PartError: if a base part cannot be fetched, or is not the one that the model was trained on.
        RegistryError: if the result does not match the manifest.
    """
    _check_manifest(manifest)
    folder = (cache or cache_root()) / "checkpoints" / manifest.name / manifest.version
    if folder.is_dir():
        try:
            registry.check_weights(manifest, folder)
            return folder
        except registry.RegistryError as error:
            print(f"Building {manifest.id} again: {error}", file=sys.stderr, flush=True)
    for part in manifest.parts:
        _check_part(manifest, part)
    print(f"Building {manifest.id}.", file=sys.stderr, flush=True)
    for part in manifest.beside:
        fetch_part(part, cache=cache, from_hub=from_hub)
    base = build_base_checkpoint(
        manifest.architecture, [p for p in manifest.parts if p not in manifest.beside], cache=cache, from_hub=from_hub
    )
    if manifest.adapter:
        adapter = load_file(manifest.folder / manifest.adapter.file)
        base = BaseCheckpoint(merge_adapter(base.tensors, adapter, manifest.adapter.scale), base.files)
    with atomic_folder(folder) as scratch:
        write_checkpoint(base, scratch)
        registry.check_weights(manifest, scratch)
    return folder


def companion_files(manifest: Manifest, *, cache: Path | None = None, from_hub: bool | None = None) -> dict[str, str]:
    """Return the small files beside a checkpoint's weights (name → text), verified: tokenizer, chat template,
    configuration.

    It fetches only the part of the language model, and does not need torch. Raises as `assemble_checkpoint` does.
    """
    _check_manifest(manifest)
    part = TEXT_PARTS[manifest.architecture]
    _check_part(manifest, part)
    (gguf,) = fetch_part(part, cache=cache, from_hub=from_hub).iterdir()
    files = COMPANION_FILES[manifest.architecture](GgufModel(gguf))
    for name, text in files.items():
        if (found := sha256(text.encode()).hexdigest()) != manifest.weights.get(name):
            raise registry.RegistryError(
                f"{manifest.id}: this release writes {name} with SHA-256 {found}, but the manifest names "
                f"{manifest.weights.get(name)}"
            )
    return files


def _check_manifest(manifest: Manifest) -> None:
    registry.check_manifest(manifest, PROMPT_FORMAT)
    if manifest.architecture not in BASE_BUILDERS:
        raise registry.RegistryError(
            f"{manifest.id} has the architecture {manifest.architecture!r}; this release can build "
            f"{', '.join(BASE_BUILDERS)}"
        )


def _check_part(manifest: Manifest, part: str) -> None:
    digest = manifest.parts.get(part)
    if digest != part_digest(part):
        raise PartError(
            f"{manifest.id} was trained on {part} with SHA-256 {digest}, but this release has {part_digest(part)}"
        )


def build_base_checkpoint(
    architecture: str, parts: list[str], *, cache: Path | None = None, from_hub: bool | None = None
) -> BaseCheckpoint:
    """Return the untrained weights and the files of an architecture, built from these parts. Raises PartError."""
    return BASE_BUILDERS[architecture]({name: fetch_part(name, cache=cache, from_hub=from_hub) for name in parts})


def write_checkpoint(base: BaseCheckpoint, folder: Path) -> None:
    """Write weights and companion files into the folder.

    The safetensors library sorts by name, so equal tensors give equal files.
    """
    save_file(base.tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    for name, text in base.files.items():
        (folder / name).write_text(text)


def merge_adapter(base: Tensors, adapter: dict[str, NDArray[np.float16]], scale: float) -> Tensors:
    """Return the base tensors with the adapter merged: `W + scale · B·A` in the type of `W` for low-rank pairs,
    replacement for whole tensors.

    Args:
        base: tensors by name. `W` has the shape (out, in).
        adapter: tensors by name. `A` (`….lora_A.weight`) has the shape (rank, in), `B` (`….lora_B.weight`) (out, rank).
        scale: LoRA alpha / rank.

    Raises:
        ValueError: if a tensor of the adapter fits nothing in the base. To ignore it would serve an untrained model.
    """
    merged = dict(base)
    for name, value in adapter.items():
        if name.endswith(LORA_B_SUFFIX):
            if name.removesuffix(LORA_B_SUFFIX) + LORA_A_SUFFIX not in adapter:
                raise ValueError(f"the adapter's {name} has no matching {LORA_A_SUFFIX.removeprefix('.')}")
            continue
        target = name.removesuffix(LORA_A_SUFFIX) + ".weight" if name.endswith(LORA_A_SUFFIX) else name
        if target not in base:
            raise ValueError(f"the adapter's {name} fits no tensor of the base model")
        if not name.endswith(LORA_A_SUFFIX):
            if value.shape != base[name].shape:
                raise ValueError(
                    f"the adapter's {name} has the shape {value.shape}, but the base's has {base[name].shape}"
                )
            merged[name] = value.astype(np.float32)
            continue
        name_b = name.removesuffix(LORA_A_SUFFIX) + LORA_B_SUFFIX
        if name_b not in adapter:
            raise ValueError(f"the adapter's {name} has no matching {LORA_B_SUFFIX.removeprefix('.')}")
        rows, columns = value.astype(np.float64), adapter[name_b].astype(np.float64)
        if (columns.shape[0], rows.shape[1]) != base[target].shape or columns.shape[1] != rows.shape[0]:
            raise ValueError(f"the adapter's {name} does not fit {target}, whose shape is {base[target].shape}")
        delta = np.zeros(base[target].shape, np.float64)
        for rank in range(rows.shape[0]):
            delta += np.multiply.outer(columns[:, rank], rows[rank])
        whole = base[target] + scale * delta
        is_half = base[target].dtype == np.float16
        merged[target] = whole.astype(np.float16) if is_half else whole.astype(np.float32)
    return merged


def part_digest(part: str) -> str:
    """Return the SHA-256 of a part's first file, which is what manifests record."""
    return next(iter(find_part(part).files.values()))


def main(argv: list[str] | None = None) -> int:
    """Assemble the named models, or all models, and print their folders. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m model_repo.assemble", description=__doc__.splitlines()[0])
    parser.add_argument(
        "models",
        nargs="*",
        help="models to assemble, each as name or name@version; by default the newest version of every name",
    )
    parser.add_argument(
        "--hub",
        action=argparse.BooleanOptionalAction,
        help="fetch base parts from a model hub if it carries them, or never; by default if a hub answers",
    )
    parser.add_argument("--root", type=Path, default=registry.REGISTRY_ROOT, help="folder of the registry")
    options = parser.parse_args(argv)
    try:
        names = options.models or sorted({m.name for m in registry.list_models(options.root)})
        for name in names:
            print(assemble_checkpoint(registry.resolve_model(options.root, name), from_hub=options.hub))
    except (PartError, registry.RegistryError, registry.UnknownModel) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
