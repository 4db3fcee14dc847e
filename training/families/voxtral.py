"""Voxtral: Whisper's encoder, a projector that joins four frames, and Llama.

A checkpoint has two sets of files: Transformers reads Hugging Face's, vLLM reads Mistral's (`params.json`,
`tekken.json`, `consolidated.safetensors`). Mistral's repositories have both. `Voxtral.write_vllm_files` writes
Mistral's weights from Hugging Face's.
"""

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from transformers.models.whisper.modeling_whisper import sinusoids

from app.core.audio.wav import encode_wav
from app.core.prompts import SYSTEM_PROMPT
from training.families.base import Family

CONSOLIDATED_FILE = "consolidated.safetensors"
ENCODER_PREFIX = "mm_whisper_embeddings.whisper_encoder"
# Names in Hugging Face's files, with those in Mistral's.
MISTRAL_NAMES = (
    (r"language_model\.model\.embed_tokens\.", "mm_whisper_embeddings.tok_embeddings."),
    (r"language_model\.model\.norm\.", "norm."),
    (r"language_model\.lm_head\.", "output."),
    (r"language_model\.model\.layers\.(\d+)\.self_attn\.([qkvo])_proj\.", r"layers.\1.attention.w\2."),
    (r"language_model\.model\.layers\.(\d+)\.mlp\.gate_proj\.", r"layers.\1.feed_forward.w1."),
    (r"language_model\.model\.layers\.(\d+)\.mlp\.down_proj\.", r"layers.\1.feed_forward.w2."),
    (r"language_model\.model\.layers\.(\d+)\.mlp\.up_proj\.", r"layers.\1.feed_forward.w3."),
    (r"language_model\.model\.layers\.(\d+)\.input_layernorm\.", r"layers.\1.attention_norm."),
    (r"language_model\.model\.layers\.(\d+)\.post_attention_layernorm\.", r"layers.\1.ffn_norm."),
    (r"multi_modal_projector\.linear_1\.", "mm_whisper_embeddings.audio_language_projection.0."),
    (r"multi_modal_projector\.linear_2\.", "mm_whisper_embeddings.audio_language_projection.2."),
    (r"audio_tower\.conv1\.", f"{ENCODER_PREFIX}.conv_layers.0."),
    (r"audio_tower\.conv2\.", f"{ENCODER_PREFIX}.conv_layers.1."),
    (r"audio_tower\.layer_norm\.", f"{ENCODER_PREFIX}.transformer.norm."),
    (
        r"audio_tower\.layers\.(\d+)\.self_attn\.([qkv])_proj\.",
        rf"{ENCODER_PREFIX}.transformer.layers.\1.attention.w\2.",
    ),
    (r"audio_tower\.layers\.(\d+)\.self_attn\.out_proj\.", rf"{ENCODER_PREFIX}.transformer.layers.\1.attention.wo."),
    (r"audio_tower\.layers\.(\d+)\.self_attn_layer_norm\.", rf"{ENCODER_PREFIX}.transformer.layers.\1.attention_norm."),
    (r"audio_tower\.layers\.(\d+)\.fc([12])\.", rf"{ENCODER_PREFIX}.transformer.layers.\1.feed_forward.w\2."),
    (r"audio_tower\.layers\.(\d+)\.final_layer_norm\.", rf"{ENCODER_PREFIX}.transformer.layers.\1.ffn_norm."),
)
SINUSOIDS_NAME = "audio_tower.embed_positions.weight"  # vLLM computes these sinusoids itself


class Voxtral(Family):
    """Audio is split into windows of 30 s, the last one padded with silence. The tokenizer encodes messages and audio
    together. Older tokenizers refuse a system message beside audio, so the user's text begins with the system prompt.
    """

    model_type = "voxtral"
    model_inputs = ("input_features",)
    derived_files = (CONSOLIDATED_FILE,)
    weight_files = "consolidated"
    weight_sync_refusal = "vLLM 0.32 keeps the old projector when Voxtral's weights are loaded into a running server"

    def placeholder_id(self, processor: Any) -> int:
        """Return the id of the token that stands for audio."""
        return int(processor.audio_token_id)

    def messages(self, query: str) -> list[dict[str, Any]]:
        """Return one message of the user: the recording, then the system prompt and the query."""
        content = [{"type": "audio"}, {"type": "text", "text": f"{SYSTEM_PROMPT}\n{query}"}]
        return [{"role": "user", "content": content}]

    def prompt(self, processor: Any, query: str) -> str:
        """Return the prompt as text, for counting and reading. The engine gets the tokens of `encode_question`."""
        return f"<s>[INST][BEGIN_AUDIO]{processor.audio_token}{SYSTEM_PROMPT}\n{query}[/INST]"

    def encode_question(
        self, processor: Any, query: str, samples: NDArray[np.float32]
    ) -> tuple[list[int], dict[str, torch.Tensor]]:
        """Return the question's ids, with placeholders for the audio's frames, and the model's further inputs."""
        audio = {"type": "audio", "base64": base64.b64encode(encode_wav(samples)).decode()}
        messages = [
            message | {"content": [audio if part["type"] == "audio" else part for part in message["content"]]}
            for message in self.messages(query)
        ]
        one = processor.apply_chat_template(messages)
        return one["input_ids"][0].tolist(), {name: one[name] for name in self.model_inputs}

    def vllm_tensor(self, name: str, value: torch.Tensor, config: Any) -> tuple[str, torch.Tensor] | None:
        """Return name and value in Mistral's files, or None for the sinusoids, which vLLM computes. Raises ValueError
        for other position embeddings or an unknown name.
        """
        if name != SINUSOIDS_NAME:
            return mistral_name(name), mistral_order(name, value, head_counts(config))
        if not torch.allclose(value.float(), sinusoids(*value.shape).to(value.device), atol=0.01):  # bfloat16: 8 bits
            raise ValueError(f"{name} are not sinusoids, and vLLM would replace them by sinusoids")
        return None

    def write_vllm_files(self, folder: Path) -> None:
        """Write Mistral's weights. Raises ValueError for a tensor that has no name among them, or for an encoder whose
        position embeddings are not the sinusoids that vLLM computes.
        """
        import transformers

        config = transformers.AutoConfig.from_pretrained(folder)
        out = {}
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, "pt") as opened:
                for name in sorted(opened.keys()):
                    if found := self.vllm_tensor(name, opened.get_tensor(name), config):
                        out[found[0]] = found[1]
        save_file(out, folder / CONSOLIDATED_FILE, metadata={"format": "pt"})
        (folder / CONSOLIDATED_FILE).chmod(0o644)


def head_counts(config: Any) -> dict[str, int]:
    """Return the number of query heads (`q`) and of key heads (`k`) of the language model."""
    text = config.get_text_config()
    return {"q": text.num_attention_heads, "k": text.num_key_value_heads}


def mistral_name(name: str) -> str:
    """Return a tensor's name in Mistral's files. Raises ValueError if it has none."""
    for ours, theirs in MISTRAL_NAMES:
        if re.match(ours, name):
            return re.sub(ours, theirs, name, count=1)
    raise ValueError(f"{name} has no name among Mistral's weights")


def mistral_order(name: str, value: torch.Tensor, heads: dict[str, int]) -> torch.Tensor:
    """Return the tensor with its rows in Mistral's order. Rotary position embeddings rotate pairs of a head's rows: the
    rows of a pair are adjacent in Mistral's files and half a head apart in Hugging Face's.
    """
    found = re.fullmatch(r"language_model\.model\.layers\.\d+\.self_attn\.([qk])_proj\.weight", name)
    if not found:
        return value
    halves = value.view(heads[found[1]], 2, -1, value.shape[1])
    return halves.transpose(1, 2).reshape(value.shape).contiguous()
