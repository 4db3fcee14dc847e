"""Compares what the cache holds of a model with the digests that are written for it. Downloads and changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model_repo.cache import cache_root, file_git_sha1, file_sha256
from model_repo.hub_models import HubModel, read_record
from model_repo.manifest import Manifest
from model_repo.parts import PARTS
from model_repo.registry import RegistryError, check_weights


@dataclass(frozen=True)
class Verification:
    """What was found of one model.

    state: intact; incomplete, if a file is missing that the next start fetches or builds; absent; damaged, if a file
    has another digest. faults: a sentence for each file that is missing or damaged.
    """

    model: str
    state: Literal["intact", "incomplete", "absent", "damaged"]
    faults: tuple[str, ...] = ()


def verify_registry_model(manifest: Manifest, cache: Path | None = None) -> Verification:
    """Verify the assembled checkpoint of a manifest and the parts that it runs beside."""
    root = cache or cache_root()
    folder = root / "checkpoints" / manifest.name / manifest.version
    damaged, missing = [], []
    for part in manifest.parts:
        if part not in PARTS or not (root / "parts" / part).is_dir():
            if part in manifest.beside:
                missing.append(f"the part {part} is not there")
            continue  # once the weights are built, the other parts are needed no more
        gone, wrong = _compare_part(part, root / "parts" / part)
        missing += gone
        damaged += wrong
    if not folder.is_dir():
        state: Literal["absent", "damaged"] = "damaged" if damaged else "absent"
        return Verification(manifest.id, state, tuple(damaged))
    try:
        check_weights(manifest, folder)
    except RegistryError as error:
        damaged.append(str(error))
    if damaged:
        return Verification(manifest.id, "damaged", (*damaged, *missing))
    return Verification(manifest.id, "incomplete" if missing else "intact", tuple(missing))


def verify_hub_model(model: HubModel, cache: Path | None = None) -> Verification:
    """Verify the downloaded files of a hub model, each by the digest that the hub named for it."""
    record = read_record(model, cache)
    if record is None:
        return Verification(model.name, "absent")
    folder = model.cache_folder(cache) / str(record["commit"])
    damaged, missing = [], []
    for name, facts in record["files"].items():
        file = folder / name
        if not file.is_file():
            missing.append(f"{file} is not there")
            continue
        expected = str(facts.get("sha256") or facts["git_sha1"])
        found = file_sha256(file) if facts.get("sha256") else file_git_sha1(file)
        if found != expected:
            damaged.append(_describe_mismatch(file, expected, found))
    if damaged:
        return Verification(model.name, "damaged", (*damaged, *missing))
    return Verification(model.name, "incomplete" if missing else "intact", tuple(missing))


def _compare_part(part: str, folder: Path) -> tuple[list[str], list[str]]:
    """Return the files of a part that are missing, and those that are damaged."""
    faults = list(_part_faults(part, folder))
    return [text for is_missing, text in faults if is_missing], [text for is_missing, text in faults if not is_missing]


def _part_faults(part: str, folder: Path) -> Iterator[tuple[bool, str]]:
    for name, digest in PARTS[part].files.items():
        file = folder / name
        if not file.is_file():
            yield True, f"{file} is not there"
        elif (found := file_sha256(file)) != digest:
            yield False, _describe_mismatch(file, digest, found)


def _describe_mismatch(file: Path, expected: str, found: str) -> str:
    return f"{file} is not the expected file: its digest should be {expected}, but is {found}"
