"""Qwen2-Audio: Whisper's encoder, one linear layer, and Qwen2."""

from training.families.base import Family


class Qwen2Audio(Family):
    """Audio is at most one window of 30 s. The processor silently cuts longer audio."""

    model_type = "qwen2_audio"
    model_inputs = ("input_features", "feature_attention_mask")
    end_of_turn = "<|im_end|>"  # the tokenizer's own end token ends a text
