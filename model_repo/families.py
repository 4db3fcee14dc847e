"""What the service and the pipeline have to know of a family of models that hear, beside what stands in a checkpoint's
own files: found by the `model_type` of its `config.json`.

Knows nothing about weights, engines or training.
"""

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_DEFAULT_CONTEXT_TOKENS = (
    32_768  # of a folder's model where nothing else is asked for: its key-value cache has to fit the memory
)
MAX_RESERVED_TOKENS = 4_608  # tokens kept free for a prompt and a full-length answer
WINDOW_S = 30.0


class UnservableCheckpoint(ValueError):
    """A folder is no checkpoint that can be served; the message says why."""


@dataclass(frozen=True)
class ModelFamily:
    """tokens_per_s: places in the prompt for a second of audio. cuts: its processor cuts what is longer without a word:
    the setting that says how long, and the seconds where it is not written. pads: audio is filled up to whole windows
    of 30 s. as_text: what stands for the recording in a message's text, for chat templates that take texts alone, as
    some of the family's do. vllm: arguments that vLLM must be started with. needs: files that it reads besides.
    languages: that it writes, by its authors' word.
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
        """Whether prompts are made by Mistral's tokenizer, as ids and with each place for audio in them."""
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
    """A folder of a family's weights as it can be served. `max_seconds`: of audio in one pass."""

    folder: Path
    model_type: str
    context_tokens: int
    max_seconds: float

    @property
    def family(self) -> ModelFamily:
        """What its family has in common."""
        return FAMILIES[self.model_type]

    @property
    def name(self) -> str:
        """The folder's name, as a model's is written."""
        return re.sub(r"[^a-z0-9._-]+", "-", self.folder.resolve().name.lower()).strip("-._") or "model"


def read_checkpoint_folder(folder: Path, context_tokens: int = 0) -> CheckpointFolder:
    """What a folder holds. context_tokens: that a prompt and its answer may have together, in place of as many as the
    model has places for or `MAX_DEFAULT_CONTEXT_TOKENS`. Raises `UnservableCheckpoint`.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise UnservableCheckpoint(f"{folder} holds no config.json: it is no checkpoint's folder")
    config = _read_json(file)
    model_type = str(config.get("model_type"))
    if model_type not in FAMILIES:
        raise UnservableCheckpoint(
            f"{folder} is of the type {model_type!r}; these are served: {', '.join(sorted(FAMILIES))}"
        )
    facts = FAMILIES[model_type]
    if missing := [name for name in facts.required_files if not (folder / name).is_file()]:
        raise UnservableCheckpoint(
            f"{folder} has no {missing[0]}, which vLLM reads: take the whole of Mistral's repository"
        )
    places = int(_text_config(config).get("max_position_embeddings") or 8192)
    if context_tokens > places:
        raise UnservableCheckpoint(f"{folder} has places for {places} tokens, not for {context_tokens}")
    context = context_tokens or min(places, MAX_DEFAULT_CONTEXT_TOKENS)
    longest = (context - min(MAX_RESERVED_TOKENS, context // 3)) / facts.audio_tokens_per_s
    if facts.pads_to_windows:
        longest = max(1, longest // WINDOW_S) * WINDOW_S
    if facts.max_seconds_setting:
        longest = min(longest, _processor_setting(folder, *facts.max_seconds_setting))
    return CheckpointFolder(folder, model_type, context, float(math.floor(longest)))


def template_messages(messages: list[dict[str, Any]], facts: ModelFamily | None) -> list[dict[str, Any]]:
    """Messages as the family's chat templates take them. Their texts hold nothing that stands for audio."""
    if facts is None or facts.audio_placeholder is None:
        return messages
    return [
        message | {"content": _flatten_content(message["content"], facts.audio_placeholder)} for message in messages
    ]


def _flatten_content(content: Any, audio: str) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] if part["type"] == "text" else audio for part in content)


def _text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that is the language model's."""
    return dict(config.get("thinker_config", config).get("text_config") or {})


def _processor_setting(folder: Path, name: str, default: float) -> float:
    """A setting of the processor's or its extractor's; it is in one of two files, by the Transformers that wrote it."""
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
