"""Builds the engine for a registry entry, a folder or a hub model: in this process, or on vLLM servers for an entry.

A cascade's Whisper always runs in this process. Knows nothing about requests.
"""

from collections.abc import Sequence

from app.core.asr.whisper import WhisperTranscriber
from app.core.errors import Unavailable
from app.engine.audio_llm import AudioLlmEngine
from app.engine.base import Engine
from app.engine.cascade import CascadeEngine
from app.engine.chat_request import ChatModel
from app.engine.model_info import ModelInfo
from app.engine.remote.chat_tokenizer import ChatTokenizer
from app.engine.remote.server import ExpectedModel
from app.engine.remote.server_pool import RemoteChatModel
from app.engine.vllm_in_process import VllmChatModel
from app.settings import Settings
from model_repo.assemble import assemble_checkpoint, companion_files
from model_repo.families import CheckpointFolder, UnservableCheckpoint, read_checkpoint_folder
from model_repo.hub_download import HubDownloadError, fetch_hub_model
from model_repo.hub_models import HubModel
from model_repo.manifest import Manifest
from model_repo.parts import fetch_part


def build_engine(manifest: Manifest, settings: Settings, urls: Sequence[str] | None = None) -> Engine:
    """Return the engine for a manifest's checkpoint; it is not started yet.

    For an engine in this process, the first call assembles and verifies the checkpoint, which takes minutes. For
    servers, only its tokenizer and chat template are fetched.

    Args:
        manifest: The registry's entry.
        settings: The service's settings.
        urls: The servers, instead of those that the settings name for the model. An empty sequence means this process.

    Raises:
        PartError: A part of the checkpoint cannot be fetched or is not what the manifest says.
        RegistryError: The manifest cannot be served.
    """
    servers = settings.remote.model_urls(manifest.name, manifest.version) if urls is None else list(urls)
    model = build_remote_model(manifest, settings, servers) if servers else build_local_model(manifest, settings)
    return build_engine_around(model, manifest, settings)


def build_engine_around(model: ChatModel, manifest: Manifest, settings: Settings) -> Engine:
    """Return the engine for a manifest whose language model is `model`. A cascade's Whisper is put before it.

    Raises PartError if the Whisper model cannot be fetched.
    """
    if manifest.kind == "cascade":
        transcriber = build_transcriber(manifest, settings)
        return CascadeEngine(
            model, transcriber, settings.recognizer, manifest.languages, section_tokens=manifest.section_tokens
        )
    return AudioLlmEngine(model)


def build_folder_engine(checkpoint: CheckpointFolder, name: str, settings: Settings) -> Engine:
    """Return the engine for a folder's weights in this process; it is not started yet. name: in vLLM's metrics."""
    return AudioLlmEngine(build_folder_model(checkpoint, name, settings))


def build_folder_model(checkpoint: CheckpointFolder, name: str, settings: Settings) -> ChatModel:
    """Return the audio language model in a folder, in this process; it is not started yet. name: in vLLM's metrics."""
    return VllmChatModel(
        checkpoint.folder,
        checkpoint.context_tokens,
        settings.engine,
        audio=True,
        name=name,
        adapters=settings.adapters,
        family=checkpoint.family,
    )


def build_hub_engine(model: HubModel, info: ModelInfo, settings: Settings) -> Engine:
    """Return the engine for a hub model in this process; it is not started yet. It is downloaded if it has to be.

    info: the facts that the service already gives about it.

    Raises:
        Unavailable: The model cannot be downloaded, or its files are not what the list says.
    """
    try:
        folder = fetch_hub_model(model, settings.cache_dir)
        checkpoint = read_checkpoint_folder(folder, settings.engine.context_tokens)
    except (HubDownloadError, UnservableCheckpoint) as error:
        raise Unavailable(str(error), code="model_download_failed") from error
    if checkpoint.max_seconds < info.max_seconds:
        raise Unavailable(
            f"{info.id} takes {checkpoint.max_seconds:.0f} s of audio in one pass, not {info.max_seconds:.0f} s as it "
            "is listed. Now that its files are here, a restart of the service reads the limit from them.",
            code="model_download_failed",
        )
    return build_folder_engine(checkpoint, info.id, settings)


def build_remote_model(manifest: Manifest, settings: Settings, urls: Sequence[str]) -> RemoteChatModel:
    """Return the model on servers, each of which must serve the manifest's checkpoint."""
    files = companion_files(manifest, cache=settings.cache_dir, from_hub=settings.hub)
    tokenizer = ChatTokenizer(files["tokenizer.json"], files["chat_template.jinja"])
    expected = ExpectedModel(manifest.name, manifest.version, manifest.context_tokens)
    return RemoteChatModel(expected, tokenizer, settings.remote.model_copy(update={"urls": list(urls)}))


def build_transcriber(manifest: Manifest, settings: Settings) -> WhisperTranscriber:
    """Return the recognizer of a cascade's manifest; it is not started yet.

    Raises PartError if it cannot be fetched.
    """
    (whisper,) = (fetch_part(part, cache=settings.cache_dir, from_hub=settings.hub) for part in manifest.beside)
    return WhisperTranscriber(whisper, settings.engine.threads, manifest.languages)


def build_local_model(manifest: Manifest, settings: Settings) -> ChatModel:
    """Return the language model of a manifest in this process; it is not started yet.

    The first call assembles and verifies the checkpoint. Raises PartError or RegistryError as `build_engine` does.
    """
    folder = assemble_checkpoint(manifest, cache=settings.cache_dir, from_hub=settings.hub)
    return VllmChatModel(
        folder,
        manifest.context_tokens,
        settings.engine,
        audio=manifest.kind == "audio-llm",
        name=manifest.id,
        adapters=settings.adapters,
    )
