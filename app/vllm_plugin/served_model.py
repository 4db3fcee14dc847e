"""Which model of the service a vLLM server has loaded, and the engine around the server's own.

The server says what it loaded by its `--model` (a folder, or a name that is in the cache of Hugging Face's hub) and its
`--served-model-name`. A model of the registry is recognized by its name and version, as a remote server's is
(`app.engine.remote.server`); any other by its `config.json`. Knows nothing about HTTP.
"""

from argparse import Namespace
from pathlib import Path
from typing import Any

from app.engine.audio_llm import AudioLlmEngine
from app.engine.factory import build_engine_around
from app.engine.model_info import ModelInfo
from app.engine.vllm_attached import AttachedVllmChatModel
from app.models.model_source import LoadableModel
from app.settings import Settings
from model_repo import registry
from model_repo.families import read_checkpoint_folder
from model_repo.manifest import Manifest


class UnservableModel(ValueError):
    """The server's model cannot answer requests for summaries. The message says why, and what would help."""


def find_served_model(engine_client: Any, args: Namespace, settings: Settings) -> LoadableModel:
    """Return the model that the server has loaded, as one that the service can load.

    Args:
        engine_client: vLLM's `EngineClient`.
        args: The server's options.
        settings: The service's settings.

    Raises:
        UnservableModel: if the server has too little room for the model's prompts.
        model_repo.families.UnservableCheckpoint: if it is of no family that takes recordings.
    """
    config = engine_client.vllm_config.model_config
    folder, names = checkpoint_folder(config.model), [*(args.served_model_name or []), config.model]
    if manifest := find_manifest(folder, names, settings):
        if config.max_model_len < manifest.context_tokens:
            raise UnservableModel(
                f"vLLM has room for {config.max_model_len} tokens, and {manifest.id} needs {manifest.context_tokens}: "
                f"start it with --max-model-len {manifest.context_tokens}"
            )
        audio = manifest.kind == "audio-llm"
        model = AttachedVllmChatModel(engine_client, folder, manifest.context_tokens, settings.engine, audio=audio)
        return LoadableModel(
            ModelInfo.from_manifest(manifest),
            lambda: build_engine_around(model, manifest, settings),
            str(folder),
            in_process=False,  # the engine is the server's, which ends if it dies
        )
    checkpoint = read_checkpoint_folder(folder)
    if config.max_model_len < checkpoint.context_tokens:
        checkpoint = read_checkpoint_folder(folder, config.max_model_len)
    model = AttachedVllmChatModel(
        engine_client, folder, checkpoint.context_tokens, settings.engine, audio=True, family=checkpoint.family
    )
    return LoadableModel(
        ModelInfo.from_folder(checkpoint), lambda: AudioLlmEngine(model), str(folder), in_process=False
    )


def checkpoint_folder(model: str) -> Path:
    """Return the folder of vLLM's `--model`: itself, or the one that vLLM has downloaded from the hub.

    Raises:
        UnservableModel: if it is neither.
    """
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (OSError, ValueError) as error:
        raise UnservableModel(f"{model} is neither a folder nor in the cache of the hub: {error}") from error


def find_manifest(folder: Path, names: list[str], settings: Settings) -> Manifest | None:
    """Return the registry's entry whose `name@version` the server uses, or that was assembled into the folder."""
    for manifest in registry.list_models(settings.model_repo):
        if manifest.id in names or folder.parts[-2:] == (manifest.name, manifest.version):
            return manifest
    return None
