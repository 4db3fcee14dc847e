"""SmolLM2 out of its GGUF file: float32 weights under Hugging Face names, and the tokenizer.

Written out here rather than taken from Transformers' GGUF loader because it is a hundred times quicker (no model is
built), gives the same bits on every machine (one numpy multiply and add a weight), and keeps SmolLM2's digit-splitting
pre-tokenizer. GGUF stores query and key rows in the interleaved rotary order of llama.cpp; they are put back into
halves. Source: the GGUF specification, `LlamaModel.permute` of llama.cpp.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, dequantize
from numpy.typing import NDArray

_BLOCK = {
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
CONTROL = 3  # token type of GGUF for special tokens


class GgufText:
    """One GGUF language model of the Llama family, opened for reading."""

    def __init__(self, file: Path) -> None:
        self._reader = GGUFReader(str(file))

    def field(self, key: str) -> Any:
        """A metadata value; KeyError if the file has none by that name."""
        return self._reader.fields[key].contents()

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Weights by their Hugging Face name without the leading `model.`: `embed_tokens.weight`,
        `layers.0.self_attn.q_proj.weight`, …
        """
        heads = {
            "attn_q": self.field("llama.attention.head_count"),
            "attn_k": self.field("llama.attention.head_count_kv"),
        }
        out: dict[str, NDArray[np.float32]] = {}
        for tensor in self._reader.tensors:
            data = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            if tensor.name == "token_embd.weight":
                out["embed_tokens.weight"] = data
            elif tensor.name == "output_norm.weight":
                out["norm.weight"] = data
            elif match := re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", tensor.name):
                if match[2] in heads:
                    data = _halves(data, heads[match[2]])
                out[f"layers.{match[1]}.{_BLOCK[match[2]]}.weight"] = np.ascontiguousarray(data)
            else:
                raise ValueError(f"{tensor.name}: a tensor of this name is not expected in a Llama GGUF file")
        return out

    def tokenizer_json(self) -> str:
        """The tokenizer in the `tokenizers` library's format: byte-level BPE, digits one by one, control tokens
        special.
        """
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
                "special": True,
            }
            for i, (token, kind) in enumerate(zip(tokens, types, strict=True))
            if kind == CONTROL
        ]
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        whole = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
            },
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
                "vocab": {token: i for i, token in enumerate(tokens)},
                "merges": [merge.split(" ") for merge in self.field("tokenizer.ggml.merges")],
            },
        }
        return json.dumps(whole, ensure_ascii=False)


def _halves(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rotary rows of each head from interleaved pairs back to two halves, shape (heads * d, n) unchanged."""
    out, columns = rows.shape
    return rows.reshape(heads, out // heads // 2, 2, columns).swapaxes(1, 2).reshape(out, columns)
