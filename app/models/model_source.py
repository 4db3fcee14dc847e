"""Where a model to load is found: by its name in the registry, or in a folder. Knows nothing about what is loaded
already.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.core.prompts import PROMPT_FORMAT
from app.engine.base import Engine
from app.engine.factory import build_engine, folder_engine
from app.engine.model_info import SCRIPTED, ServedModel
from app.engine.scripted import ScriptedEngine
from app.settings import Settings, setting_name
from model_repo import registry
from model_repo.families import checkpoint_in
from model_repo.manifest import Manifest


@dataclass(frozen=True)
class Loadable:
    """A model that can be loaded. build: makes its engine; may fetch and assemble a checkpoint for minutes. where: what
    is waited for, for the log. adapters: names and folders of those to load with it.
    """

    served: ServedModel
    build: Callable[[], Engine]
    where: str = ""
    adapters: tuple[tuple[str, Path | None], ...] = ()


# A model by `name`, `name@version` or the path of a folder, at these servers or where the settings say. Raises
# `registry.UnknownModel`, `registry.RegistryError`, ValueError.
Source = Callable[[str, Sequence[str]], Loadable]


def from_registry(settings: Settings, asked: str, urls: Sequence[str] = ()) -> Loadable:
    """A `Source`; the best model of the registry where none is asked for. What has a slash in it is a folder."""
    if "/" in asked:
        return _from_folder(settings, Path(asked), urls)
    if asked == SCRIPTED.name:
        if urls or settings.remote.urls:
            raise ValueError(f"no server serves the scripted model: leave {setting_name('remote', 'urls')} empty")
        return Loadable(SCRIPTED, partial(ScriptedEngine, keep_requests=False))
    manifest = choose(settings, asked)
    registry.check(manifest, PROMPT_FORMAT)
    servers = list(urls) or settings.remote.urls_of(manifest.name, manifest.version)
    return Loadable(
        ServedModel.from_manifest(manifest), partial(build_engine, manifest, settings, servers), ", ".join(servers)
    )


def _from_folder(settings: Settings, folder: Path, urls: Sequence[str]) -> Loadable:
    checkpoint = checkpoint_in(folder, settings.engine.context_tokens)
    if urls or settings.remote.urls:
        raise ValueError(
            f"{folder} is served in this process, not at servers: leave {setting_name('remote', 'urls')} empty"
        )
    served = ServedModel.from_folder(checkpoint)
    return Loadable(served, partial(folder_engine, checkpoint, served.id, settings), str(folder))


def choose(settings: Settings, asked: str) -> Manifest:
    """The registry's entry, or the best one, with figures that can be compared to the others'. Raises `UnknownModel`,
    `RegistryError`.
    """
    found = registry.resolve(settings.model_repo, asked) if asked else registry.best(settings.model_repo)
    listed = registry.comparable(registry.list_models(settings.model_repo))
    return next((one for one in listed if one.id == found.id), found)
