"""Builds the application out of its options and the settings of the service. `build` is what Serve imports."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ray import serve

from app.engine.audio_llm import AudioLlmEngine
from app.engine.base import Engine
from app.engine.cascade import CascadeEngine
from app.engine.chat_request import ChatModel
from app.engine.factory import build_folder_model, build_local_model, build_transcriber
from app.engine.model_info import ModelInfo
from app.engine.prompt_builder import prompt_builder
from app.engine.remote.chat_tokenizer import ChatTokenizer
from app.models.model_source import LoadableModel, ModelSource, choose_manifest
from app.ray_serve.chat_model import ENGINE, ServeChatModel
from app.ray_serve.ingress import Ingress
from app.ray_serve.option_checks import check_engine_gpus, check_shared_state, count_engine_gpus
from app.ray_serve.options import DeploymentOptions, ServeOptions
from app.ray_serve.replicas import EarReplica, EngineReplica, Transcriber
from app.ray_serve.transcriber import EAR, ServeTranscriber
from app.setting_types import parse_pair
from app.settings import Settings, setting_name
from model_repo.assemble import companion_files
from model_repo.families import read_checkpoint_folder
from model_repo.hub_models import find_hub_model
from model_repo.manifest import Manifest

INGRESS = "ingress"
# Recordings that wait at an ear stand in the queue of the ingress, where other ears can still take them.
EAR_REQUESTS = 2
LOOK_BACK_S = 20.0  # the time over which the audio in work is averaged; Serve collects it every 10 seconds


@dataclass(frozen=True)
class ServedModel:
    """The model of the application, taken apart. All functions are sent to replicas.

    Attributes:
        info: The facts about it.
        context_tokens: Number of tokens that a prompt and its answer may have together.
        make_model: Makes the language model, in a replica of `engine`.
        make_counter: Makes the function that counts tokens, in the ingress.
        make_transcriber: Makes the recognizer of a cascade, in a replica of `ear`; None for an audio language model.
        section_tokens: As `app.engine.cascade.CascadeEngine` has it.
    """

    info: ModelInfo
    context_tokens: int
    make_model: Callable[[], ChatModel]
    make_counter: Callable[[], Callable[[str], int]]
    make_transcriber: Callable[[], Transcriber] | None = None
    section_tokens: int | None = None


def build(options: ServeOptions) -> serve.Application:
    """Return the application of the model that the settings of the environment name.

    Raises:
        UnknownModel, RegistryError: The model cannot be served.
        ValueError: The settings or the options do not fit together.
    """
    settings = Settings()
    return build_application(settings, options, find_served_model(settings))


def build_application(settings: Settings, options: ServeOptions, model: ServedModel) -> serve.Application:
    """Return the application of a model. Raises ValueError if settings and options do not fit together."""
    check_shared_state(settings, options)
    check_engine_gpus(settings, options)
    adapters = [(name, Path(folder) if folder else None) for name, folder in map(parse_pair, settings.adapters.served)]
    max_num_seqs = settings.engine.max_num_seqs
    engine = _deployment(
        EngineReplica,
        ENGINE,
        options.engine,
        {"num_cpus": 2, "num_gpus": count_engine_gpus(settings)},
        max_ongoing_requests=max_num_seqs,
    ).bind(model.make_model, adapters)
    handles = [engine]
    if model.make_transcriber is not None:
        ear = _deployment(EarReplica, EAR, options.ear, {"num_cpus": 2}, max_ongoing_requests=EAR_REQUESTS)
        handles.append(ear.bind(model.make_transcriber))
    # In the ingress the setting bounds what all replicas of the engine together have in work.
    all_seqs = max_num_seqs * options.engine.max_replicas
    ingress_settings = settings.model_copy(
        update={"engine": settings.engine.model_copy(update={"max_num_seqs": all_seqs})}
    )
    ingress = _deployment(
        serve.ingress()(Ingress),
        INGRESS,
        options.ingress,
        {"num_cpus": settings.decoder.workers},
        max_ongoing_requests=settings.server.connections,
    )
    return ingress.bind(ingress_settings, partial(handle_source, model), *handles)


def find_served_model(settings: Settings) -> ServedModel:
    """Return the model that the settings name: one of the registry, or the folder of a checkpoint.

    Raises UnknownModel, RegistryError or ValueError if there is none that can be served.
    """
    name = settings.model
    if "/" in name:
        checkpoint = read_checkpoint_folder(Path(name), settings.engine.context_tokens)
        info = ModelInfo.from_folder(checkpoint)
        return ServedModel(
            info,
            checkpoint.context_tokens,
            partial(build_folder_model, checkpoint, info.id, settings),
            lambda: prompt_builder(checkpoint.folder, checkpoint.family).count_tokens,
        )
    if find_hub_model(name):
        raise ValueError(
            f"{name} is served on Ray from its folder, which every machine can read: `speechsum models pull {name}` "
            f"downloads it and prints the folder, which you name in {setting_name('model')}"
        )
    manifest = choose_manifest(settings, name)
    is_cascade = manifest.kind == "cascade"
    return ServedModel(
        ModelInfo.from_manifest(manifest),
        manifest.context_tokens,
        partial(build_local_model, manifest, settings),
        partial(make_token_counter, manifest, settings),
        partial(build_transcriber, manifest, settings) if is_cascade else None,
        manifest.section_tokens,
    )


def handle_source(model: ServedModel, settings: Settings, engine: Any, ear: Any = None) -> ModelSource:
    """Return what finds the model in the ingress. engine, ear: Serve's handles of the deployments."""

    def make_engine() -> Engine:
        adapters = frozenset(name for name, _ in map(parse_pair, settings.adapters.served))
        chat_model = ServeChatModel(engine, model.context_tokens, model.make_counter, adapters)
        if ear is None:
            return AudioLlmEngine(chat_model)
        transcriber: Any = ServeTranscriber(ear)
        return CascadeEngine(
            chat_model, transcriber, settings.recognizer, model.info.languages, section_tokens=model.section_tokens
        )

    def find(name: str, urls: Sequence[str]) -> LoadableModel:
        if urls or (name not in ("", settings.model) and not model.info.matches(name)):
            raise ValueError(f"this application serves {model.info.id} alone; deploy another application for {name}")
        return LoadableModel(model.info, make_engine)

    return find


def make_token_counter(manifest: Manifest, settings: Settings) -> Callable[[str], int]:
    """Return the function that counts tokens as the model of the registry does. It fetches the tokenizer alone."""
    files = companion_files(manifest, cache=settings.cache_dir, from_hub=settings.hub)
    return ChatTokenizer(files["tokenizer.json"], files["chat_template.jinja"]).count_tokens


def _deployment(
    cls: type, name: str, options: DeploymentOptions, resources: dict[str, Any], *, max_ongoing_requests: int
) -> Any:
    return serve.deployment(cls).options(
        name=name,
        ray_actor_options={**resources, **options.ray_actor_options},
        max_ongoing_requests=max_ongoing_requests,
        graceful_shutdown_timeout_s=options.graceful_shutdown_timeout_s,
        autoscaling_config={
            "min_replicas": options.min_replicas,
            "max_replicas": options.max_replicas,
            "upscale_delay_s": options.upscale_delay_s,
            "downscale_delay_s": options.downscale_delay_s,
            "look_back_period_s": LOOK_BACK_S,
        },
    )
