"""What the service and the pipeline must know about a family of audio language models, besides a checkpoint's own
files.

The family is found by the `model_type` in a checkpoint's `config.json`. Knows nothing about weights, engines or
training.
"""

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Context of a model from a folder, unless a setting says otherwise. Its key-value cache has to fit into the memory.
MAX_DEFAULT_CONTEXT_TOKENS = 32_768
MAX_RESERVED_TOKENS = 4_608  # tokens that are kept free for a prompt and a full-length answer
WINDOW_S = 30.0


class UnservableCheckpoint(ValueError):
    """A folder is not a checkpoint that can be served. The message says why."""


@dataclass(frozen=True)
class ModelFamily:
    """The properties that all models of a family share.

    Attributes:
        audio_tokens_per_s: prompt tokens for a second of audio.
        languages: the languages that it writes, according to its authors.
        max_seconds_setting: a setting of its processor that says after how many seconds the processor silently cuts the
            audio, and its default; None if the processor does not cut.
        pads_to_windows: whether audio is padded to whole windows of 30 s.
        audio_placeholder: what stands for the recording in a message's text, if the chat templates of the family take
            texts only; else None.
        vllm_arguments: arguments that vLLM must be started with.
        required_files: files that vLLM reads besides `config.json`.
    """

    audio_tokens_per_s: float
    languages: tuple[str, ...]
    max_seconds_setting: tuple[str, float] | None = None
    pads_to_windows: bool = False
    audio_placeholder: str | None = None
    vllm_arguments: dict[str, Any] = field(default_factory=dict)
    required_files: tuple[str, ...] = ()

    @property
    def uses_mistral_tokenizer(self) -> bool:
        """Whether Mistral's tokenizer makes the prompts: as token ids that already contain a place for each audio
        token.
        """
        return self.vllm_arguments.get("tokenizer_mode") == "mistral"


FAMILIES = {
    "audioflamingo3": ModelFamily(25, ("en",), max_seconds_setting=("max_audio_len", 600.0)),
    "granite_speech": ModelFamily(10, ("en", "fr", "de", "es", "pt"), audio_placeholder="<|audio|>"),
    "qwen2_5_omni": ModelFamily(
        25,
        ("en", "zh", "fr", "es", "pt", "de", "it", "ru", "ja", "ko", "vi", "th", "ar"),
        max_seconds_setting=("chunk_length", WINDOW_S),
        audio_placeholder="<|audio_bos|><|AUDIO|><|audio_eos|>",
        vllm_arguments={"limit_mm_per_prompt": {"audio": 1, "image": 0, "video": 0}},
    ),
    "qwen2_audio": ModelFamily(
        25,
        ("en", "zh", "fr", "it", "es", "de", "ja"),
        max_seconds_setting=("chunk_length", WINDOW_S),
        audio_placeholder="Audio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\n",
    ),
    "voxtral": ModelFamily(
        12.5,
        ("en", "es", "fr", "pt", "hi", "de", "nl", "it"),
        pads_to_windows=True,
        vllm_arguments={"tokenizer_mode": "mistral", "config_format": "mistral", "load_format": "mistral"},
        required_files=("params.json", "tekken.json"),
    ),
}


@dataclass(frozen=True)
class CheckpointFolder:
    """A checkpoint of a family that can be served from its folder. `max_seconds` is the longest audio of one pass."""

    folder: Path
    model_type: str
    context_tokens: int
    max_seconds: float

    @property
    def family(self) -> ModelFamily:
        """The properties of its family."""
        return FAMILIES[self.model_type]

    @property
    def name(self) -> str:
        """The folder's name, in the form of a model's name."""
        return re.sub(r"[^a-z0-9._-]+", "-", self.folder.resolve().name.lower()).strip("-._") or "model"


def read_checkpoint_folder(folder: Path, context_tokens: int = 0) -> CheckpointFolder:
    """Read what a folder holds.

    Args:
        context_tokens: tokens that a prompt and its answer may have together. 0 uses the model's own context, up to
            `MAX_DEFAULT_CONTEXT_TOKENS`.

    Raises:
        UnservableCheckpoint: if the folder cannot be served.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise UnservableCheckpoint(f"{folder} has no config.json, so it is not the folder of a checkpoint")
    config = _read_json(file)
    model_type = str(config.get("model_type"))
    if model_type not in FAMILIES:
        raise UnservableCheckpoint(
            f"{folder} has the model type {model_type!r}; the supported types are {', '.join(sorted(FAMILIES))}"
        )
    family = FAMILIES[model_type]
    if missing := [name for name in family.required_files if not (folder / name).is_file()]:
        raise UnservableCheckpoint(
            f"{folder} has no {missing[0]}, which vLLM reads; download all files of Mistral's repository"
        )
    context = choose_context(
        str(folder), int(_text_config(config).get("max_position_embeddings") or 8192), context_tokens
    )
    processor_seconds = _processor_setting(folder, *family.max_seconds_setting) if family.max_seconds_setting else None
    return CheckpointFolder(folder, model_type, context, max_pass_seconds(family, context, processor_seconds))


def choose_context(place: str, max_context: int, context_tokens: int = 0) -> int:
    """Return the tokens that a prompt and its answer may have together.

    Args:
        place: names the checkpoint in the error.
        max_context: tokens of the model's own context.
        context_tokens: what was asked for. 0 uses the model's own context, up to `MAX_DEFAULT_CONTEXT_TOKENS`.

    Raises:
        UnservableCheckpoint: if more was asked for than the model has.
    """
    if context_tokens > max_context:
        raise UnservableCheckpoint(f"{place} has a context of {max_context} tokens, not of {context_tokens}")
    return context_tokens or min(max_context, MAX_DEFAULT_CONTEXT_TOKENS)


def max_pass_seconds(family: ModelFamily, context_tokens: int, processor_seconds: float | None = None) -> float:
    """Return the length in seconds of the longest audio of one pass, which leaves room for a prompt and an answer.

    processor_seconds: what the processor takes at most, if it cuts.
    """
    seconds = (context_tokens - min(MAX_RESERVED_TOKENS, context_tokens // 3)) / family.audio_tokens_per_s
    if family.pads_to_windows:
        seconds = max(1, seconds // WINDOW_S) * WINDOW_S
    return float(math.floor(seconds if processor_seconds is None else min(seconds, processor_seconds)))


def template_messages(messages: list[dict[str, Any]], family: ModelFamily | None) -> list[dict[str, Any]]:
    """Return messages in the form that the family's chat templates take.

    The texts of the messages must not contain the family's audio placeholder.
    """
    if family is None or family.audio_placeholder is None:
        return messages
    return [
        message | {"content": _flatten_content(message["content"], family.audio_placeholder)} for message in messages
    ]


def _flatten_content(content: Any, audio: str) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] if part["type"] == "text" else audio for part in content)


def _text_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that describes the language model."""
    return dict(config.get("thinker_config", config).get("text_config") or {})


def _processor_setting(folder: Path, name: str, default: float) -> float:
    """Return a setting of the processor or its feature extractor. Which of two files has it depends on Transformers."""
    files = (folder / "preprocessor_config.json", folder / "processor_config.json")
    for found in (_read_json(file) for file in files if file.is_file()):
        if seconds := found.get(name) or found.get("feature_extractor", {}).get(name):
            return float(seconds)
    return default


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError) as error:
        raise UnservableCheckpoint(f"{file} cannot be read: {error}") from None
