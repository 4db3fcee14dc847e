"""Checkpoints of the real shape and a thousandth of the size, with random weights, and records to train them on.

Chat template and processor are the real ones, and the tokenizer is the real one with its first tokens only. Otherwise
most of a tiny model's work would be the other tokens, of which there are 45,000.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AudioFlamingo3Config,
    AudioFlamingo3ForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from app.core.audio.wav import encode_wav
from app.core.prompts import Style, instruction
from model_repo.architectures import BaseCheckpoint, audioflamingo3_files, llama_files
from model_repo.assemble import write_checkpoint
from tests.model_repo.fakes import smollm
from training.data.record import Record
from training.facts.coverage import Fact
from training.models.checkpoint import checkpoint_parameter_name

RATE = 16_000
TOKENS = 4096
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": TOKENS,
}
AUDIO = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def write_audio(folder: Path, **changed: int) -> Path:
    """An `audioflamingo3` checkpoint; changed: sizes of its language model."""
    files = _with_fewer_tokens(audioflamingo3_files(smollm()), changed)
    config = json.loads(files["config.json"])
    config["text_config"] |= TEXT | changed
    config["audio_config"] |= AUDIO
    model_config = AudioFlamingo3Config.from_dict(config)
    return _write("audioflamingo3", AudioFlamingo3ForConditionalGeneration, model_config, config, files, folder)


def write_llama(folder: Path, **changed: int) -> Path:
    """The `llama` checkpoint whose widths are those of the audio model's language model, but for what is changed."""
    files = _with_fewer_tokens(llama_files(smollm()), changed)
    config = json.loads(files["config.json"]) | TEXT | changed
    return _write("llama", LlamaForCausalLM, LlamaConfig.from_dict(config), config, files, folder)


def write_qwen2(folder: Path, **changed: int) -> Path:
    """A `qwen2` checkpoint with SmolLM2's tokenizer, but for what is changed."""
    files = _with_fewer_tokens(llama_files(smollm()), changed)
    config = json.loads(files["config.json"]) | TEXT | {"tie_word_embeddings": False} | changed
    config |= {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "use_sliding_window": False}
    return _write("qwen2", Qwen2ForCausalLM, Qwen2Config.from_dict(config), config, files, folder)


def _with_fewer_tokens(files: dict[str, str], changed: dict[str, int]) -> dict[str, str]:
    """The files with a tokenizer of `vocab_size` tokens. In the real one the tokens of merges follow in their order."""
    tokenizer = json.loads(files["tokenizer.json"])
    model, count = tokenizer["model"], changed.get("vocab_size", TOKENS)
    merges = count - (len(model["vocab"]) - len(model["merges"]))
    model["vocab"] = {token: number for token, number in model["vocab"].items() if number < count}
    model["merges"] = model["merges"][:merges]
    return files | {"tokenizer.json": json.dumps(tokenizer, ensure_ascii=False)}


def _write(architecture: str, kind: Any, model_config: Any, config: Any, files: dict[str, str], folder: Path) -> Path:
    torch.manual_seed(7)
    model = kind(model_config)
    tensors = {}
    for name, value in model.state_dict().items():
        if config["tie_word_embeddings"] and name == "lm_head.weight":
            continue
        if value.ndim > 1 and "embed_positions" not in name:  # Transformers' spread of 0.02 hides every difference
            value = torch.randn_like(value) * (1.0 if "embed_tokens" in name else value[0].numel() ** -0.5)
        tensors[checkpoint_parameter_name(architecture, name)] = value.numpy().copy()
    folder.mkdir(parents=True, exist_ok=True)
    write_checkpoint(BaseCheckpoint(tensors, files | {"config.json": json.dumps(config)}), folder)
    return folder


def noise(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Samples that no other seed gives: five tones a second, in noise."""
    draw = np.random.default_rng(seed)
    size = round(seconds * RATE)
    pitch = np.repeat(draw.uniform(200, 4000, size=size // 3200 + 1), 3200)[:size]
    tone = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)
    return (tone + 0.02 * draw.normal(size=size)).astype(np.float32)


def record(number: int, folder: Path, samples: Any = None, summary: str = "Anna called.", **fields: Any) -> Record:
    """A record; with samples, spoken: a float WAV file under the folder."""
    audio = None
    if samples is not None:
        audio = str(folder / f"{number}.wav")
        Path(audio).write_bytes(encode_wav(samples))
    known: dict[str, Any] = {
        "id": f"clip-{number}",
        "register": "voicemail",
        "split": "train",
        "transcript": "Hello, Anna here, please call me back.",
        "style": {"style": "tldr"},
        "query": instruction(Style(style="tldr")),
        "summary": summary,
        "facts": [Fact("who", "Anna", core=True)],
        "turns": [(0, "Hello, Anna here, please call me back.")],
        "words": 7,
        "audio": audio,
        "duration_s": None if samples is None else len(samples) / RATE,
    }
    return Record(**(known | fields))
