"""Finds a model to load: by its name in the registry or among the models of a hub, or in a folder.

Knows nothing about which models are loaded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.core.prompts import PROMPT_FORMAT
from app.engine.base import Engine
from app.engine.factory import build_engine, build_folder_engine, build_hub_engine
from app.engine.model_info import SCRIPTED_MODEL, SCRIPTED_PROCESS_MODEL, ModelInfo
from app.engine.scripted import ScriptedEngine
from app.engine.scripted_process import ScriptedProcessEngine
from app.settings import Settings, setting_name
from model_repo import registry
from model_repo.families import read_checkpoint_folder
from model_repo.hub_access import OFFLINE_VARIABLE, is_offline
from model_repo.hub_models import HUB_MODELS, HubModel, downloaded_folder, find_hub_model
from model_repo.manifest import Manifest


@dataclass(frozen=True)
class LoadableModel:
    """A model that can be loaded.

    Attributes:
        info: The facts about the model.
        build_engine: Makes its engine. It may take minutes, while a checkpoint is fetched and assembled.
        location: The servers or the folder that the log names while the model is being loaded.
        adapters: Name and folder of each adapter to load with it.
        in_process: Whether its engine belongs to this service, which starts it again if it dies. Servers come back by
            themselves.
    """

    info: ModelInfo
    build_engine: Callable[[], Engine]
    location: str = ""
    adapters: tuple[tuple[str, Path | None], ...] = ()
    in_process: bool = True


# Returns the model for a `name`, a `name@version` or the path of a folder, at the given servers or, without any, where
# the settings say. Raises `registry.UnknownModel`, `registry.RegistryError` or ValueError.
ModelSource = Callable[[str, Sequence[str]], LoadableModel]


def find_model(settings: Settings, name: str, urls: Sequence[str] = ()) -> LoadableModel:
    """Return the model for a name. This is a `ModelSource` once `settings` is bound.

    A name with a slash in it is a folder. An empty name means the best model of the registry. A name that the registry
    does not have may be one of `model_repo.hub_models`, which is downloaded when its engine is built.

    Raises:
        UnknownModel: Neither the registry nor the list of hub models has such a model.
        RegistryError: The registry's entry cannot be served.
        ValueError: The folder holds no checkpoint that can be served, servers are given for a model that runs in this
            process, or a hub model cannot be downloaded or served here.
    """
    if "/" in name:
        return _find_in_folder(settings, Path(name), urls)
    if name in (SCRIPTED_MODEL.name, SCRIPTED_PROCESS_MODEL.name):
        if urls or settings.remote.urls:
            raise ValueError(f"no server serves the scripted model: leave {setting_name('remote', 'urls')} empty")
        if name == SCRIPTED_PROCESS_MODEL.name:
            return LoadableModel(SCRIPTED_PROCESS_MODEL, ScriptedProcessEngine)
        return LoadableModel(SCRIPTED_MODEL, partial(ScriptedEngine, keep_requests=False))
    try:
        manifest = choose_manifest(settings, name)
    except registry.UnknownModel as error:
        if hub_model := find_hub_model(name):
            return _find_on_hub(settings, hub_model, urls)
        raise registry.UnknownModel(f"{error}; from a model hub: {', '.join(HUB_MODELS)}") from None
    registry.check_manifest(manifest, PROMPT_FORMAT)
    servers = list(urls) or settings.remote.model_urls(manifest.name, manifest.version)
    return LoadableModel(
        ModelInfo.from_manifest(manifest),
        partial(build_engine, manifest, settings, servers),
        ", ".join(servers),
        in_process=not servers,
    )


def _find_in_folder(settings: Settings, folder: Path, urls: Sequence[str]) -> LoadableModel:
    checkpoint = read_checkpoint_folder(folder, settings.engine.context_tokens)
    if urls or settings.remote.urls:
        raise ValueError(
            f"{folder} is served in this process, not at servers: leave {setting_name('remote', 'urls')} empty"
        )
    info = ModelInfo.from_folder(checkpoint)
    return LoadableModel(info, partial(build_folder_engine, checkpoint, info.id, settings), str(folder))


def _find_on_hub(settings: Settings, model: HubModel, urls: Sequence[str]) -> LoadableModel:
    if urls or settings.remote.urls:
        raise ValueError(
            f"{model.name} is served in this process, not at servers: leave {setting_name('remote', 'urls')} empty"
        )
    if missing := model.missing_packages():
        raise ValueError(f"{model.name} needs the Python package {missing[0]}, which is not installed")
    folder = downloaded_folder(model, settings.cache_dir)
    if folder is None and (is_offline() or settings.hub is False):
        switch = OFFLINE_VARIABLE if is_offline() else f"{setting_name('hub')}=false"
        raise ValueError(
            f"{model.name} is not downloaded, and {switch} forbids to download it. A folder with its files can be "
            "served too: --model /path/to/checkpoint"
        )
    context = settings.engine.context_tokens
    max_seconds = read_checkpoint_folder(folder, context).max_seconds if folder else model.max_seconds(context)
    info = ModelInfo.from_hub(model, max_seconds)
    return LoadableModel(info, partial(build_hub_engine, model, info, settings))


def choose_manifest(settings: Settings, name: str) -> Manifest:
    """Return the registry's entry for a name, or its best entry for an empty name.

    The entry's figures are those that can be compared with the other entries'. Raises `UnknownModel` or
    `RegistryError`.
    """
    chosen = registry.resolve_model(settings.model_repo, name) if name else registry.best_model(settings.model_repo)
    comparable = registry.comparable_manifests(registry.list_models(settings.model_repo))
    return next((one for one in comparable if one.id == chosen.id), chosen)
