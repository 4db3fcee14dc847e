"""Qwen2.5-Coder-Instruct as a text model: weights, configuration, tokenizer and chat template from its GGUF file.

Weights that the file holds quantized are written as float16, whose rounding error is far below that of four to eight
bits; norms and biases stay float32. The file of 0.5B stores the output matrix separately from the embedding, and so
does the checkpoint; where a file has none, the embedding is the output matrix too. Knows nothing about training.
"""

from typing import Any

import numpy as np

from model_repo.base_checkpoint import BaseCheckpoint, Tensors, json_text
from model_repo.gguf_model import GgufModel

QWEN2_PART = "qwen2.5-coder-0.5b-instruct-q4_k_m"
QWEN2_LARGE_PART = "qwen2.5-coder-1.5b-instruct-q4_k_m"
END_OF_TURN_TOKEN, END_OF_TEXT_TOKEN = "<|im_end|>", "<|endoftext|>"

# The model's own template takes strings only. This text before it joins the texts of OpenAI-style parts.
_FLATTEN_TEMPLATE = """\
{%- set flat = namespace(messages=[]) -%}
{%- for message in messages -%}
{%- if message['content'] is string -%}
{%- set flat.messages = flat.messages + [message] -%}
{%- else -%}
{%- set texts = message['content'] | selectattr('type', 'equalto', 'text') | map(attribute='text') | join -%}
{%- set flat.messages = flat.messages + [dict(message, content=texts)] -%}
{%- endif -%}
{%- endfor -%}
{%- set messages = flat.messages -%}
"""


def build_qwen2(gguf: GgufModel) -> BaseCheckpoint:
    """Build weights and companion files. Takes about 1.3 GB of memory for 0.5B, and 4 GB for 1.5B."""
    tensors: Tensors = {}
    for name, data, quantized in gguf.iter_tensors():
        stored = data.astype(np.float16) if quantized else data
        tensors[name if name == "lm_head.weight" else f"model.{name}"] = stored
    return BaseCheckpoint(tensors, qwen2_files(gguf, tied="lm_head.weight" not in tensors))


def qwen2_files(gguf: GgufModel, tied: bool = False) -> dict[str, str]:
    """Return the companion files of `build_qwen2`, name → text. tied: whether the embedding is the output matrix."""
    end_id, pad_id = gguf.field("tokenizer.ggml.eos_token_id"), gguf.field("tokenizer.ggml.padding_token_id")
    config: dict[str, Any] = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "transformers_version": "5.0.0",  # keeps Transformers from applying its fixes for older tokenizers
        "dtype": "float16",
        "tie_word_embeddings": tied,
        "use_sliding_window": False,
        "hidden_size": gguf.field("qwen2.embedding_length"),
        "intermediate_size": gguf.field("qwen2.feed_forward_length"),
        "num_hidden_layers": gguf.field("qwen2.block_count"),
        "num_attention_heads": gguf.field("qwen2.attention.head_count"),
        "num_key_value_heads": gguf.field("qwen2.attention.head_count_kv"),
        "max_position_embeddings": gguf.field("qwen2.context_length"),
        "rms_norm_eps": 1e-6,
        "rope_theta": float(gguf.field("qwen2.rope.freq_base")),
        "vocab_size": len(gguf.field("tokenizer.ggml.tokens")),
        "hidden_act": "silu",
        "bos_token_id": pad_id,
        "eos_token_id": end_id,
        "pad_token_id": pad_id,
    }
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": END_OF_TURN_TOKEN,
        "pad_token": END_OF_TEXT_TOKEN,
        "model_max_length": gguf.field("qwen2.context_length"),
        "clean_up_tokenization_spaces": False,
    }
    generation = {"eos_token_id": [end_id, pad_id], "pad_token_id": pad_id, "do_sample": False}
    return {
        "config.json": json_text(config),
        "tokenizer.json": gguf.tokenizer_json(),
        "tokenizer_config.json": json_text(tokenizer),
        "generation_config.json": json_text(generation),
        "chat_template.jinja": _FLATTEN_TEMPLATE + str(gguf.field("tokenizer.chat_template")),
    }
