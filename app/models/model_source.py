"""Where a model to load is found: by its name in the registry, or in a folder. Knows nothing about what is loaded
already.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.core.prompts import PROMPT_FORMAT
from app.engine.base import Engine
from app.engine.factory import build_engine, build_folder_engine
from app.engine.model_info import SCRIPTED_MODEL, ModelInfo
from app.engine.scripted import ScriptedEngine
from app.settings import Settings, setting_name
from model_repo import registry
from model_repo.families import read_checkpoint_folder
from model_repo.manifest import Manifest


@dataclass(frozen=True)
class LoadableModel:
    """A model that can be loaded. build: makes its engine; may fetch and assemble a checkpoint for minutes. where: what
    is waited for, for the log. adapters: names and folders of those to load with it.
    """

    info: ModelInfo
    build_engine: Callable[[], Engine]
    location: str = ""
    adapters: tuple[tuple[str, Path | None], ...] = ()


# A model by `name`, `name@version` or the path of a folder, at these servers or where the settings say. Raises
# `registry.UnknownModel`, `registry.RegistryError`, ValueError.
ModelSource = Callable[[str, Sequence[str]], LoadableModel]


def find_model(settings: Settings, asked: str, urls: Sequence[str] = ()) -> LoadableModel:
    """A `ModelSource`; the best model of the registry where none is asked for. What has a slash in it is a folder."""
    if "/" in asked:
        return _find_in_folder(settings, Path(asked), urls)
    if asked == SCRIPTED_MODEL.name:
        if urls or settings.remote.urls:
            raise ValueError(f"no server serves the scripted model: leave {setting_name('remote', 'urls')} empty")
        return LoadableModel(SCRIPTED_MODEL, partial(ScriptedEngine, keep_requests=False))
    manifest = choose_manifest(settings, asked)
    registry.check_manifest(manifest, PROMPT_FORMAT)
    servers = list(urls) or settings.remote.model_urls(manifest.name, manifest.version)
    return LoadableModel(
        ModelInfo.from_manifest(manifest), partial(build_engine, manifest, settings, servers), ", ".join(servers)
    )


def _find_in_folder(settings: Settings, folder: Path, urls: Sequence[str]) -> LoadableModel:
    checkpoint = read_checkpoint_folder(folder, settings.engine.context_tokens)
    if urls or settings.remote.urls:
        raise ValueError(
            f"{folder} is served in this process, not at servers: leave {setting_name('remote', 'urls')} empty"
        )
    served = ModelInfo.from_folder(checkpoint)
    return LoadableModel(served, partial(build_folder_engine, checkpoint, served.id, settings), str(folder))


def choose_manifest(settings: Settings, asked: str) -> Manifest:
    """The registry's entry, or the best one, with figures that can be compared to the others'. Raises `UnknownModel`,
    `RegistryError`.
    """
    found = registry.resolve_model(settings.model_repo, asked) if asked else registry.best_model(settings.model_repo)
    listed = registry.comparable_manifests(registry.list_models(settings.model_repo))
    return next((one for one in listed if one.id == found.id), found)
