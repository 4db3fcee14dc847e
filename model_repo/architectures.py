"""Builds each architecture from its base parts: weights under the names that Transformers and vLLM load, and
the small files beside them.

    audioflamingo3   Whisper tiny.en's encoder + projector + SmolLM2-135M (as Qwen2 with zero biases: numerically the
    same model)
    llama            SmolLM2-135M alone, the language model of a cascade and the text twin
    qwen2            Qwen2.5-Coder-0.5B-Instruct alone, the language model of a cascade (`model_repo.qwen2`)
    qwen2-1.5b       Qwen2.5-Coder-1.5B-Instruct alone, with the same tokenizer: of a larger cascade, or a teacher

The projector of a base is untrained; an adapter brings the trained one. Knows nothing about training.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from model_repo import qwen2, whisper_encoder
from model_repo.base_checkpoint import BaseCheckpoint, Tensors, json_text
from model_repo.gguf_model import GgufModel

__all__ = ["BASE_BUILDERS", "COMPANION_FILES", "TEXT_PARTS", "BaseCheckpoint", "Tensors"]

AUDIO_TOKEN = "<file_sep>"  # a reserved token of SmolLM2 that no text contains; the vocabulary stays unchanged
AUDIO_TOKEN_ID = 5
END_OF_TURN_TOKEN = "<|im_end|>"
PAD_TOKEN = "<|endoftext|>"  # not the end-of-turn token, because padding must not look like the end of an answer
HIDDEN_SIZE, NUM_LAYERS, VOCAB_SIZE, CONTEXT_TOKENS = 576, 30, 49_152, 8_192
ENCODER_HIDDEN_SIZE = 384
MAX_AUDIO_SECONDS = 300
PROJECTOR_SEED = 20_250_919

# Takes a message's content as a string or as OpenAI-style parts. An audio part becomes the placeholder.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['content'] is string -%}{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'text' -%}{{- part['text'] -}}{%- else -%}{{- '<file_sep>\\n' -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


def _text_config(gguf: GgufModel) -> dict[str, Any]:
    return {
        "hidden_size": HIDDEN_SIZE,
        "intermediate_size": gguf.field("llama.feed_forward_length"),
        "num_hidden_layers": NUM_LAYERS,
        "num_attention_heads": gguf.field("llama.attention.head_count"),
        "num_key_value_heads": gguf.field("llama.attention.head_count_kv"),
        "max_position_embeddings": CONTEXT_TOKENS,
        "rms_norm_eps": 1e-5,
        "rope_theta": float(gguf.field("llama.rope.freq_base")),
        "vocab_size": VOCAB_SIZE,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


def _shared_files(gguf: GgufModel) -> dict[str, str]:
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": END_OF_TURN_TOKEN,
        "pad_token": PAD_TOKEN,
        "unk_token": PAD_TOKEN,
        "model_max_length": CONTEXT_TOKENS,
        "clean_up_tokenization_spaces": False,
    }
    generation = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "do_sample": False}
    return {
        "tokenizer.json": gguf.tokenizer_json(),
        "tokenizer_config.json": json_text(tokenizer),
        "generation_config.json": json_text(generation),
        "chat_template.jinja": CHAT_TEMPLATE,
    }


def build_llama(parts: dict[str, Path]) -> BaseCheckpoint:
    """Build the language model alone. Its embeddings are tied, so there is no `lm_head`.

    Args:
        parts: folders of the base parts, by name.
    """
    gguf = GgufModel(_only_file(parts["smollm2-135m-instruct-q4_1"]))
    return BaseCheckpoint({f"model.{name}": value for name, value in gguf.tensors().items()}, llama_files(gguf))


def llama_files(gguf: GgufModel) -> dict[str, str]:
    """Return the companion files of `build_llama`, name → text."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "tie_word_embeddings": True,
        "attention_bias": False,
        **_text_config(gguf),
    }
    return _shared_files(gguf) | {"config.json": json_text(config)}


def build_audioflamingo3(parts: dict[str, Path]) -> BaseCheckpoint:
    """Build encoder, projector and language model.

    The embedding cannot be tied in this architecture, so `lm_head` is a copy of it (28 M parameters).

    Args:
        parts: folders of the base parts, by name.
    """
    gguf = GgufModel(_only_file(parts["smollm2-135m-instruct-q4_1"]))
    encoder = whisper_encoder.encoder_tensors(_only_file(parts["whisper-tiny-en"]))
    tensors: Tensors = {f"audio_tower.{name}": value for name, value in encoder.items()}
    rng = np.random.default_rng(PROJECTOR_SEED)
    for name, inputs in (("linear_1", ENCODER_HIDDEN_SIZE), ("linear_2", HIDDEN_SIZE)):
        bound = 1 / np.sqrt(inputs)
        weight = rng.uniform(-bound, bound, (HIDDEN_SIZE, inputs))
        tensors[f"multi_modal_projector.{name}.weight"] = weight.astype(np.float32)
        tensors[f"multi_modal_projector.{name}.bias"] = np.zeros(HIDDEN_SIZE, np.float32)
    for name, value in gguf.tensors().items():
        tensors[f"language_model.model.{name}"] = value
        if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight")):
            bias = name.removesuffix("weight") + "bias"
            tensors[f"language_model.model.{bias}"] = np.zeros(value.shape[0], np.float32)
    tensors["language_model.lm_head.weight"] = tensors["language_model.model.embed_tokens.weight"].copy()
    return BaseCheckpoint(tensors, audioflamingo3_files(gguf))


def audioflamingo3_files(gguf: GgufModel) -> dict[str, str]:
    """Return the companion files of `build_audioflamingo3`, name → text: configuration, tokenizer, processor."""
    config = {
        "architectures": ["AudioFlamingo3ForConditionalGeneration"],
        "model_type": "audioflamingo3",
        "dtype": "float32",
        "tie_word_embeddings": False,
        "audio_token_id": AUDIO_TOKEN_ID,
        "projector_hidden_act": "gelu",
        "projector_bias": True,
        "audio_config": {
            "model_type": "audioflamingo3_encoder",
            "num_mel_bins": 80,
            "hidden_size": ENCODER_HIDDEN_SIZE,
            "num_hidden_layers": 4,
            "num_attention_heads": 6,
            "intermediate_size": 1536,
            "max_source_positions": 1500,
        },
        "text_config": {
            "model_type": "qwen2",
            "tie_word_embeddings": False,
            "use_sliding_window": False,
            **_text_config(gguf),
        },
    }
    extractor = {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": 80,
        "sampling_rate": 16_000,
        "hop_length": 160,
        "chunk_length": 30,
        "n_fft": 400,
        "padding_value": 0.0,
        "return_attention_mask": True,
    }
    processor = {
        "processor_class": "AudioFlamingo3Processor",
        "audio_token": AUDIO_TOKEN,
        "max_audio_len": MAX_AUDIO_SECONDS,
        "default_transcription_prompt": "Transcribe the recording.",
    }
    files = {
        "config.json": json_text(config),
        "preprocessor_config.json": json_text(extractor),
        "processor_config.json": json_text(processor | {"feature_extractor": extractor}),
    }
    return _shared_files(gguf) | files


def _build_qwen2(parts: dict[str, Path]) -> BaseCheckpoint:
    (folder,) = parts.values()
    return qwen2.build_qwen2(GgufModel(_only_file(folder)))


SMOLLM2_PART = "smollm2-135m-instruct-q4_1"
BASE_BUILDERS: dict[str, Callable[[dict[str, Path]], BaseCheckpoint]] = {
    "audioflamingo3": build_audioflamingo3,
    "llama": build_llama,
    "qwen2": _build_qwen2,
    "qwen2-1.5b": _build_qwen2,
}
COMPANION_FILES = {
    "audioflamingo3": audioflamingo3_files,
    "llama": llama_files,
    "qwen2": qwen2.qwen2_files,
    "qwen2-1.5b": qwen2.qwen2_files,
}
# The part that the companion files of an architecture are made from.
TEXT_PARTS = {
    "audioflamingo3": SMOLLM2_PART,
    "llama": SMOLLM2_PART,
    "qwen2": qwen2.QWEN2_PART,
    "qwen2-1.5b": qwen2.QWEN2_LARGE_PART,
}


def _only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file
