"""Reads a language model from its GGUF file: float32 weights under Hugging Face names, and the tokenizer.

Two families are read: Llama (SmolLM2) and Qwen2 (Qwen2.5). Transformers has a GGUF loader, which is not used here: this
reader is a hundred times quicker (it builds no model), gives the same bits on every machine (a few numpy operations for
each weight), and keeps each family's pre-tokenizer. For Llama, GGUF stores query and key rows in the interleaved rotary
order of llama.cpp, and this reader restores the two halves; Qwen2's rows are stored as they are. Source: the GGUF
specification, `LlamaModel.permute` of llama.cpp.

gguf is imported where a file is read: with its own imports it costs every start of the service half a second.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP_LEVEL_NAMES = {
    "token_embd.weight": "embed_tokens.weight",
    "output_norm.weight": "norm.weight",
    "output.weight": "lm_head.weight",
}
# GGUF's token types of special tokens, of added tokens, and of the padding that fills up the table.
CONTROL_TOKEN, USER_DEFINED_TOKEN, UNUSED_TOKEN = 3, 4, 5
# How Qwen2 splits a text before its merges. Source: `tokenizer.json` of Qwen2.5, which splits off each digit.
_QWEN2_PRETOKENIZER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class GgufModel:
    """A GGUF language model of the Llama or Qwen2 family. Raises ValueError for another architecture."""

    def __init__(self, file: Path) -> None:
        from model_repo.gguf_reader import QuickReader

        self._reader = QuickReader(str(file))
        self.architecture = str(self.field("general.architecture"))
        if self.architecture not in ("llama", "qwen2"):
            raise ValueError(f"{file} has the architecture {self.architecture!r}; only llama and qwen2 can be read")

    def field(self, key: str) -> Any:
        """Return a metadata value. Raises KeyError if the file has none of that name."""
        return self._reader.fields[key].contents()

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return all weights as float32, under the names of `iter_tensors`."""
        return {name: data for name, data, _ in self.iter_tensors()}

    def iter_tensors(self) -> Iterator[tuple[str, NDArray[np.float32], bool]]:
        """Yield the name of each weight, its values as float32, and whether the file holds them quantized.

        The names are those of Hugging Face without the leading `model.`: `embed_tokens.weight`,
        `layers.0.self_attn.q_proj.weight`, … If the output matrix is stored separately from the embedding, its name is
        `lm_head.weight`. Raises ValueError for a tensor with an unknown name.
        """
        from gguf import GGMLQuantizationType, dequantize

        is_permuted = self.architecture == "llama"
        heads = {
            "attn_q": self.field(f"{self.architecture}.attention.head_count"),
            "attn_k": self.field(f"{self.architecture}.attention.head_count_kv"),
        }
        for tensor in self._reader.tensors:
            data = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            quantized = tensor.tensor_type not in (GGMLQuantizationType.F32, GGMLQuantizationType.F16)
            if tensor.name in _TOP_LEVEL_NAMES:
                yield _TOP_LEVEL_NAMES[tensor.name], data, quantized
            elif match := re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", tensor.name):
                if is_permuted and match[2] in heads:
                    data = _unpermute_rotary(data, heads[match[2]])
                yield f"layers.{match[1]}.{_BLOCK_NAMES[match[2]]}.{match[3]}", np.ascontiguousarray(data), quantized
            else:
                raise ValueError(
                    f"the tensor {tensor.name} is not expected in a GGUF file of the architecture {self.architecture}"
                )

    def tokenizer_json(self) -> str:
        """Return the tokenizer in the format of the `tokenizers` library.

        It is byte-level BPE, splits off each digit, and treats control tokens as special. The padding that fills up
        Qwen2's table is not part of the vocabulary.
        """
        qwen2 = self.architecture == "qwen2"
        tokens: list[str] = self.field("tokenizer.ggml.tokens")
        types: list[int] = self.field("tokenizer.ggml.token_type")
        added = [
            {
                "id": i,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": kind == CONTROL_TOKEN,
            }
            for i, (token, kind) in enumerate(zip(tokens, types, strict=True))
            if kind in (CONTROL_TOKEN, USER_DEFINED_TOKEN)
        ]
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": not qwen2}
        split = {"type": "Split", "pattern": {"Regex": _QWEN2_PRETOKENIZER}, "behavior": "Isolated", "invert": False}
        digits = {"type": "Digits", "individual_digits": True}
        vocabulary = {token: i for i, token in enumerate(tokens) if types[i] != UNUSED_TOKEN}
        tokenizer = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": {"type": "NFC"} if qwen2 else None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split if qwen2 else digits, byte_level]},
            "post_processor": None,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": vocabulary,
                "merges": [merge.split(" ") for merge in self.field("tokenizer.ggml.merges")],
            },
        }
        return json.dumps(tokenizer, ensure_ascii=False)


def _unpermute_rotary(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Return the rotary rows of each head from interleaved pairs back to two halves. The shape (heads * d, n) is
    unchanged.
    """
    total, columns = rows.shape
    return rows.reshape(heads, total // heads // 2, 2, columns).swapaxes(1, 2).reshape(total, columns)
