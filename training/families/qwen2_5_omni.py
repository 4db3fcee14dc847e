"""The thinker of Qwen2.5-Omni: its own encoder on Whisper's features, one linear layer, and Qwen2.

The folder is that of the whole model. Talker and vocoder are not opened, and an export copies them unchanged. The
processor needs torchvision, for video, which is never used here.
"""

from pathlib import Path
from typing import Any

import torch

from training.families.base import Family

UNUSED_PREFIXES = ("talker.", "token2wav.")  # the parts that make speech, which vLLM does not load either


class Qwen25Omni(Family):
    """Audio is at most 300 s, the limit of the feature extractor, which silently cuts longer audio."""

    model_type = "qwen2_5_omni"
    transformers_model_type = "qwen2_5_omni_thinker"
    parameter_prefixes = (("", "thinker."),)
    language_model = "model."
    projector = ("audio_tower.proj.",)
    model_inputs = ("input_features", "feature_attention_mask")
    end_of_turn = "<|im_end|>"

    def open(self, folder: Path, dtype: torch.dtype) -> Any:
        """Return the thinker. Raises ValueError if tensors of it are missing or do not belong to it."""
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
    """Add the last hidden states to the model's output. TRL computes the loss from them and gets them from a model's
    backbone, which has to take audio. The thinker takes the audio itself, so it is its own backbone.
    """
    seen = {}

    def keep_states(_text: Any, _given: Any, out: Any) -> None:
        seen["last"] = out.last_hidden_state

    def attach_states(_thinker: Any, _given: Any, out: Any) -> None:
        if "last" in seen:  # only once, because TRL's forward calls the model's own
            out.last_hidden_state = seen.pop("last")

    model.model.register_forward_hook(keep_states)
    model.register_forward_hook(attach_states)
