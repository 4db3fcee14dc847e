"""Finds and lists the checkpoints of the registry, chooses the best one, and refuses those that do not match their
manifest.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from model_repo.cache import file_sha256
from model_repo.manifest import MANIFEST_FILE, MANIFEST_FORMAT, Manifest

REGISTRY_ROOT = Path(__file__).parent


class RegistryError(Exception):
    """A checkpoint cannot be used as it is: wrong format, wrong digest, or an unreadable manifest."""


class UnknownModel(LookupError):
    """The registry has no checkpoint of that name or version."""


def list_models(root: Path = REGISTRY_ROOT) -> list[Manifest]:
    """Return every version in the registry, sorted by name, the oldest version first.

    Raises:
        RegistryError: if a manifest cannot be read.
    """
    return sorted(
        (_read_manifest(file.parent) for file in root.glob(f"*/*/{MANIFEST_FILE}")),
        key=lambda m: (m.name, version_sort_key(m.version)),
    )


def resolve_model(root: Path, model: str) -> Manifest:
    """Return the checkpoint called `name` (its newest version) or `name@version`.

    Raises:
        UnknownModel: if there is none.
        RegistryError: if a manifest cannot be read.
    """
    name, _, version = model.partition("@")
    known = list_models(root)
    matching = [m for m in known if m.name == name and version in ("", m.version)]
    if not matching:
        raise UnknownModel(
            f"there is no model {model!r} in the registry; it has {', '.join(m.id for m in known) or 'no models'}"
        )
    return matching[-1]


def best_model(root: Path = REGISTRY_ROOT) -> Manifest:
    """Return the model that is served by default.

    Of the newest versions of all names that may be the default, it is the one with the highest score on the set that
    most names were measured on.

    Raises:
        UnknownModel: if the registry is empty.
        RegistryError: if a manifest cannot be read.
    """
    newest = _newest_versions(comparable_manifests(list_models(root)))
    candidates = [manifest for manifest in newest if manifest.default_candidate]
    if not candidates:
        raise UnknownModel(f"the registry {root} has no models that may be the default")
    return max(candidates, key=lambda manifest: manifest.figures.score if manifest.figures else float("-inf"))


def comparable_manifests(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return the manifests, without the figures that were measured on another set than the common one.

    The common set is the one that the newest versions of most names were measured on; among equals, the one with the
    highest score.
    """
    scores: dict[str, list[float]] = {}
    for manifest in _newest_versions(manifests):
        if manifest.figures:
            scores.setdefault(manifest.figures.set, []).append(manifest.figures.score)
    common_set = max(scores, key=lambda name: (len(scores[name]), max(scores[name])), default=None)
    return [
        manifest
        if manifest.figures is None or manifest.figures.set == common_set
        else manifest.model_copy(update={"figures": None})
        for manifest in manifests
    ]


def _newest_versions(manifests: Sequence[Manifest]) -> Iterable[Manifest]:
    """Return the last version of each name. The manifests are in the order of `list_models`."""
    return {manifest.name: manifest for manifest in manifests}.values()


def check_manifest(manifest: Manifest, prompt_format: int) -> None:
    """Raise `RegistryError` if this code would misread the manifest, or the adapter does not have the manifest's
    digest.
    """
    if manifest.prompt_format != prompt_format:
        raise RegistryError(
            f"{manifest.id} was trained on prompt format {manifest.prompt_format}, but this release writes format "
            f"{prompt_format}; serve it with the release that trained it, or train it again"
        )
    if manifest.adapter:
        verify_file(manifest.folder / manifest.adapter.file, manifest.adapter.sha256, manifest)


def check_weights(manifest: Manifest, assembled: Path) -> None:
    """Raise `RegistryError` if a file of the assembled checkpoint does not have the manifest's digest."""
    for file, digest in manifest.weights.items():
        verify_file(assembled / file, digest, manifest)


def verify_file(file: Path, digest: str, manifest: Manifest) -> None:
    """Raise `RegistryError`, with the file and both digests, if the file is missing or not the expected one."""
    if not file.is_file():
        raise RegistryError(f"{manifest.id}: {file} is missing")
    if (found := file_sha256(file)) != digest:
        raise RegistryError(
            f"{manifest.id}: {file} does not match its manifest: its SHA-256 should be {digest}, but is {found}"
        )


def version_sort_key(version: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts versions as people do: numbers by value, so that 10 comes after 9."""
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
            f"{folder / MANIFEST_FILE} describes {manifest.id}, but is in {folder.parent.name}/{folder.name}"
        )
    return manifest
