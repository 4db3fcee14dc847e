"""Find checkpoints by `name` or `name@version`, list them, name the best, and refuse what does not match its
manifest.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from model_repo.cache import file_sha256
from model_repo.manifest import MANIFEST_FILE, MANIFEST_FORMAT, Manifest

REGISTRY_ROOT = Path(__file__).parent


class RegistryError(Exception):
    """A checkpoint cannot be used as it is: wrong format, wrong digest, unreadable manifest."""


class UnknownModel(LookupError):
    """No checkpoint by that name or version."""


def list_models(root: Path = REGISTRY_ROOT) -> list[Manifest]:
    """Every version in the registry, by name, oldest version first. Raises `RegistryError` for a manifest that cannot
    be read.
    """
    return sorted(
        (_read_manifest(file.parent) for file in root.glob(f"*/*/{MANIFEST_FILE}")),
        key=lambda m: (m.name, version_sort_key(m.version)),
    )


def resolve_model(root: Path, model: str) -> Manifest:
    """The checkpoint called `name` (its newest version) or `name@version`. Raises `UnknownModel`, `RegistryError`."""
    name, _, version = model.partition("@")
    known = list_models(root)
    found = [m for m in known if m.name == name and version in ("", m.version)]
    if not found:
        raise UnknownModel(
            f"no model {model!r} in the registry; it holds {', '.join(m.id for m in known) or 'nothing'}"
        )
    return found[-1]


def best_model(root: Path = REGISTRY_ROOT) -> Manifest:
    """What is served if nothing else is asked for: among each name's newest version, the one with the highest score on
    the set that most of them were measured on. Raises `UnknownModel` if the registry is empty.
    """
    newest = list(_newest_versions(comparable_manifests(list_models(root))))
    if not newest:
        raise UnknownModel(f"the registry {root} holds no model")
    return max(newest, key=lambda manifest: manifest.figures.score if manifest.figures else float("-inf"))


def comparable_manifests(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The manifests with figures of one and the same set, or none: those of another set are left out. It is the set
    that most names' newest versions were measured on; among equals, the one with the highest score.
    """
    scores: dict[str, list[float]] = {}
    for manifest in _newest_versions(manifests):
        if manifest.figures:
            scores.setdefault(manifest.figures.set, []).append(manifest.figures.score)
    common = max(scores, key=lambda name: (len(scores[name]), max(scores[name])), default=None)
    return [
        one if one.figures is None or one.figures.set == common else one.model_copy(update={"figures": None})
        for one in manifests
    ]


def _newest_versions(manifests: Sequence[Manifest]) -> Iterable[Manifest]:
    """The last version of each name; the manifests are in the order of `list_models`."""
    return {manifest.name: manifest for manifest in manifests}.values()


def check_manifest(manifest: Manifest, prompt_format: int) -> None:
    """Refuse a manifest this code would misread, or an adapter that is not the one it names. Raises `RegistryError`."""
    if manifest.prompt_format != prompt_format:
        raise RegistryError(
            f"{manifest.id} was trained on prompt format {manifest.prompt_format}, this service words format "
            f"{prompt_format}: serve it with the release that trained it, or train it again"
        )
    if manifest.adapter:
        verify_file(manifest.folder / manifest.adapter.file, manifest.adapter.sha256, manifest)


def check_weights(manifest: Manifest, assembled: Path) -> None:
    """Refuse an assembled checkpoint whose files are not the ones the manifest names. Raises `RegistryError`."""
    for file, digest in manifest.weights.items():
        verify_file(assembled / file, digest, manifest)


def verify_file(file: Path, digest: str, manifest: Manifest) -> None:
    """Raise `RegistryError` with the file and both digests unless the file is the one expected."""
    if not file.is_file():
        raise RegistryError(f"{manifest.id}: {file} is missing")
    if (found := file_sha256(file)) != digest:
        raise RegistryError(
            f"{manifest.id}: {file} does not match its manifest: SHA-256 should be {digest}, found {found}"
        )


def version_sort_key(version: str) -> list[tuple[int, int, str]]:
    """Orders versions as people do: numbers by value, so that 10 comes after 9."""
    return [
        (0, int(piece), "") if piece.isdigit() else (1, 0, piece) for piece in re.findall(r"\d+|[A-Za-z]+", version)
    ]


def _read_manifest(folder: Path) -> Manifest:
    try:
        manifest = Manifest.read(folder)
    except (OSError, ValueError) as error:
        raise RegistryError(f"{folder / MANIFEST_FILE} cannot be read: {error}") from error
    if manifest.format != MANIFEST_FORMAT:
        raise RegistryError(
            f"{folder / MANIFEST_FILE} has format {manifest.format}; this release reads format {MANIFEST_FORMAT}"
        )
    if (manifest.name, manifest.version) != (folder.parent.name, folder.name):
        raise RegistryError(
            f"{folder / MANIFEST_FILE} says it is {manifest.id}, but lies in {folder.parent.name}/{folder.name}"
        )
    return manifest
