"""Qwen2.5-Omni's thinker: an encoder of its own on Whisper's features, one linear layer, Qwen2.

The folder is the whole model's; talker and vocoder are not opened, and an export copies them as they are. Its processor
needs torchvision, for a video part that is never used here.
"""

from pathlib import Path
from typing import Any

import torch

from training.families.base import Family

UNUSED_PREFIXES = ("talker.", "token2wav.")  # parts that make speech; vLLM does not load them either


class Qwen25Omni(Family):
    """Audio of up to the feature extractor's 300 s; what is longer it would cut without a word."""

    model_type = "qwen2_5_omni"
    transformers_model_type = "qwen2_5_omni_thinker"
    parameter_prefixes = (("", "thinker."),)
    language_model = "model."
    projector = ("audio_tower.proj.",)
    model_inputs = ("input_features", "feature_attention_mask")
    end_of_turn = "<|im_end|>"

    def open(self, folder: Path, dtype: torch.dtype) -> Any:
        import transformers

        whole = transformers.AutoConfig.from_pretrained(folder)
        thinker: Any = transformers.Qwen2_5OmniThinkerForConditionalGeneration
        model, info = thinker.from_pretrained(
            folder, config=whole.thinker_config, dtype=dtype, output_loading_info=True
        )
        info["unexpected_keys"] = {name for name in info["unexpected_keys"] if not name.startswith(UNUSED_PREFIXES)}
        if wrong := {k: v for k, v in info.items() if v and k != "error_msgs"}:
            raise ValueError(f"{folder} does not fit Qwen2.5-Omni's thinker: {wrong}")
        expose_last_hidden_state(model)
        return model


def expose_last_hidden_state(model: Any) -> None:
    """Have the model's output carry the last hidden states. TRL works the loss out from them and asks a model's
    backbone, which hears; the thinker hears itself, and is its own backbone.
    """
    seen = {}

    def keep_states(_text: Any, _given: Any, out: Any) -> None:
        seen["last"] = out.last_hidden_state

    def attach_states(_thinker: Any, _given: Any, out: Any) -> None:
        if "last" in seen:  # not a second time, where TRL's forward calls the model's own
            out.last_hidden_state = seen.pop("last")

    model.model.register_forward_hook(keep_states)
    model.register_forward_hook(attach_states)
