"""The model of the settings: whether there is such a model, whether the disk has room for it, and whether what is not
yet on this machine can be fetched.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from app.cli.checks.finding import Finding
from app.engine.model_info import SCRIPTED_MODEL, SCRIPTED_PROCESS_MODEL
from app.settings import Settings, setting_name
from model_repo import registry
from model_repo.hub_access import OFFLINE_VARIABLE, hub_answers, is_offline
from model_repo.hub_models import HUB_MODELS, HubModel, downloaded_folder, find_hub_model
from model_repo.manifest import Manifest
from model_repo.parts import PARTS, Part

GB = 1e9
DISK_GB = 2.0  # of a model whose manifest does not say what it needs
SPARE_GB = 1.0
INDEX_SECONDS = 60.0
TOO_SLOW = f"the package index did not answer within {INDEX_SECONDS:.0f} seconds."


@dataclass(frozen=True)
class ServedModel:
    """The model that the service would start. found: where it is described; None for a folder or the scripted model.

    runs_here: whether it runs on this machine, and not on servers.
    """

    name: str
    found: Manifest | HubModel | None
    runs_here: bool

    @property
    def memory_gb(self) -> float | None:
        """Memory that it needs on a CPU, in GB, if that is known."""
        if isinstance(self.found, HubModel):
            return self.found.cpu_gb
        return self.found.needs.memory_gb if self.found else None


def find_served_model(settings: Settings) -> ServedModel:
    """Return the model of the settings. Raises UnknownModel or RegistryError if there is none that can be served, and
    ValueError for a folder that does not exist.
    """
    name = settings.model
    if name in (SCRIPTED_MODEL.name, SCRIPTED_PROCESS_MODEL.name):
        return ServedModel(name, None, runs_here=False)
    if "/" in name:
        if not Path(name).is_dir():
            raise ValueError(f"{setting_name('model')} is the folder {name}, which does not exist")
        return ServedModel(name, None, runs_here=True)
    try:
        manifest = (
            registry.resolve_model(settings.model_repo, name) if name else registry.best_model(settings.model_repo)
        )
    except registry.UnknownModel as error:
        if (hub_model := find_hub_model(name)) is None:
            raise registry.UnknownModel(f"{error}; from a model hub: {', '.join(HUB_MODELS)}") from None
        return ServedModel(name, hub_model, runs_here=True)
    runs_here = not settings.remote.model_urls(manifest.name, manifest.version)
    return ServedModel(manifest.id, manifest, runs_here)


def check_model(model: ServedModel, settings: Settings) -> Iterator[Finding]:
    """Yield what is found about the model's files, the disk and the places that they come from."""
    if model.found is None or not model.runs_here:
        yield Finding("model", "ok", f"The model is {model.name}.")
        return
    if isinstance(model.found, HubModel):
        is_complete = downloaded_folder(model.found, settings.cache_dir) is not None
        missing: list[Part] = []
        needed_gb = (model.found.download_gb or DISK_GB) + SPARE_GB
        if packages := model.found.missing_packages():
            yield Finding(
                "model", "problem", f"{model.name} needs {', '.join(packages)}.", f"`pip install {' '.join(packages)}`."
            )
    else:
        is_complete, missing = _missing_parts(model.found, settings.cache_dir)
        needed_gb = (model.found.needs.disk_gb or DISK_GB) + SPARE_GB
    yield Finding(
        "model",
        "ok",
        f"The model is {model.name}; "
        + ("its files are here." if is_complete else "the first start fetches its files."),
    )
    yield _check_disk(settings.cache_dir, 0.0 if is_complete else needed_gb)
    if isinstance(model.found, HubModel):
        yield from [] if is_complete else [_check_hub(model.found)]
    elif missing:
        yield _check_parts(missing, settings.hub)


def _missing_parts(manifest: Manifest, cache: Path) -> tuple[bool, list[Part]]:
    """Return whether the model can start as it is, and the parts that have to be fetched first."""
    is_assembled = (cache / "checkpoints" / manifest.name / manifest.version).is_dir()
    needed = [name for name in manifest.parts if name in PARTS and (not is_assembled or name in manifest.beside)]
    missing = [
        PARTS[name]
        for name in needed
        if not all((cache / "parts" / name / file).is_file() for file in PARTS[name].files)
    ]
    return is_assembled and not missing, missing


def _check_disk(folder: Path, needed_gb: float) -> Finding:
    existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    setting = setting_name("cache_dir")
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding(
            "disk",
            "problem" if needed_gb else "warning",
            f"The cache {folder} cannot be written to.",
            f"Change the owner or the permissions of {existing}, or name another folder in {setting}.",
        )
    free_gb = shutil.disk_usage(existing).free / GB
    if free_gb < needed_gb:
        return Finding(
            "disk",
            "problem",
            f"The model needs {needed_gb:.0f} GB in {folder}, and the disk has {free_gb:.1f} GB free.",
            f"Make room, or name a folder on another disk in {setting}.",
        )
    if free_gb < SPARE_GB:
        return Finding("disk", "warning", f"The disk of {folder} has {free_gb:.1f} GB free.", "Make room.")
    return Finding("disk", "ok", f"{free_gb:.0f} GB are free in the cache {folder}.")


def _check_hub(model: HubModel) -> Finding:
    if is_offline():
        reason, remedy = f"{OFFLINE_VARIABLE} is set", f"Unset {OFFLINE_VARIABLE}"
    elif not hub_answers():
        reason, remedy = "no model hub answers", "Check the network, or name a mirror in HF_ENDPOINT"
    else:
        return Finding("fetch", "ok", f"The hub that {model.name} comes from answers.")
    return Finding(
        "fetch",
        "problem",
        f"{model.name} cannot be downloaded: {reason}.",
        f"{remedy}; or serve a folder with its files (`--model /path/to/checkpoint`).",
    )


def _check_parts(missing: list[Part], from_hub: bool | None) -> Finding:
    """Ask the places that the parts come from, as a start would."""
    names = ", ".join(part.name for part in missing)
    on_hub = [part for part in missing if part.hub] if from_hub is not False and hub_answers() else []
    if from_hub and not on_hub and any(part.hub for part in missing):
        return Finding(
            "fetch",
            "problem",
            f"{names} must come from a model hub, and none answers.",
            f"Check the network, name a mirror in HF_ENDPOINT, or set {setting_name('hub')}=false.",
        )
    asked = [part for part in missing if part not in on_hub]
    with ThreadPoolExecutor(max(1, len(asked))) as threads:
        answers = list(zip(asked, threads.map(lambda part: index_fault(part.packages[0]), asked), strict=True))
    for part, fault in answers:
        if fault is not None:
            return Finding(
                "fetch",
                "warning" if fault == TOO_SLOW else "problem",
                f"The part {part.name} cannot be fetched: {fault}",
                "Check the network. Behind a proxy or a mirror, configure pip (PIP_INDEX_URL, HTTPS_PROXY), which "
                "fetches the parts.",
            )
    return Finding("fetch", "ok", f"What is missing can be fetched: {names}.")


def index_fault(requirement: str) -> str | None:
    """Return why pip does not find a requirement (`name==version`) on its index; None if it does."""
    name, _, version = requirement.partition("==")
    command = [sys.executable, "-m", "pip", "index", "versions", name, "--disable-pip-version-check"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INDEX_SECONDS)
    except subprocess.TimeoutExpired:
        return TOO_SLOW
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        return f"pip says: {(errors or done.stderr.splitlines() or ['nothing'])[-1]}"
    return None if version in done.stdout else f"the package index has no {requirement}."
