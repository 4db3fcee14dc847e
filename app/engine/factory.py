"""From a registry entry, or a folder, to the engine that runs it: in this process, or behind the vLLM servers that the
settings name.

A cascade's Whisper always runs in this process.
"""

from collections.abc import Sequence

from app.core.asr.whisper import Transcriber
from app.engine.base import Engine
from app.engine.cascade import CascadeEngine
from app.engine.chat_request import Core
from app.engine.remote.chat_tokenizer import ChatTokens
from app.engine.remote.server import Wanted
from app.engine.remote.server_pool import RemoteCore
from app.engine.vllm_audio import VllmAudioEngine
from app.engine.vllm_in_process import VllmCore
from app.settings import Settings
from model_repo.assemble import companions, ensure
from model_repo.families import Checkpoint
from model_repo.manifest import Manifest
from model_repo.parts import fetch


def build_engine(manifest: Manifest, settings: Settings, urls: Sequence[str] | None = None) -> Engine:
    """Engine over the manifest's checkpoint; not started yet.

    In this process the checkpoint is assembled and verified at the first call (minutes); in front of servers only its
    tokenizer and chat template are. urls: the servers, in place of those that the settings name for the model. Raises
    `model_repo.parts.PartError`, `model_repo.registry.RegistryError`.
    """
    servers = settings.remote.urls_of(manifest.name, manifest.version) if urls is None else list(urls)
    core = remote_core(manifest, settings, servers) if servers else _own_core(manifest, settings)
    if manifest.kind == "cascade":
        (whisper,) = (fetch(part, cache=settings.cache_dir, from_hub=settings.hub) for part in manifest.beside)
        transcriber = Transcriber(whisper, settings.engine.threads, manifest.languages)
        return CascadeEngine(core, transcriber, settings.recognizer, manifest.languages)
    return VllmAudioEngine(core)


def folder_engine(checkpoint: Checkpoint, name: str, settings: Settings) -> Engine:
    """Engine over a folder's weights in this process; not started yet. name: in vLLM's metrics."""
    core = VllmCore(
        checkpoint.folder,
        checkpoint.context_tokens,
        settings.engine,
        audio=True,
        name=name,
        adapters=settings.adapters,
        family=checkpoint.facts,
    )
    return VllmAudioEngine(core)


def remote_core(manifest: Manifest, settings: Settings, urls: Sequence[str]) -> RemoteCore:
    """Servers that have to serve the manifest's checkpoint."""
    files = companions(manifest, cache=settings.cache_dir, from_hub=settings.hub)
    tokens = ChatTokens(files["tokenizer.json"], files["chat_template.jinja"])
    wanted = Wanted(manifest.name, manifest.version, manifest.context_tokens)
    return RemoteCore(wanted, tokens, settings.remote.model_copy(update={"urls": list(urls)}))


def _own_core(manifest: Manifest, settings: Settings) -> Core:
    folder = ensure(manifest, cache=settings.cache_dir, from_hub=settings.hub)
    return VllmCore(
        folder,
        manifest.context_tokens,
        settings.engine,
        audio=manifest.kind == "audio-llm",
        name=manifest.id,
        adapters=settings.adapters,
    )
