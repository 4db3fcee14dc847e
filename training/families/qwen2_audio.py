"""Qwen2-Audio: Whisper's encoder, one linear layer, Qwen2."""

from training.families.base import Family


class Qwen2Audio(Family):
    """One window: the processor would cut what is longer without a word."""

    model_type = "qwen2_audio"
    model_inputs = ("input_features", "feature_attention_mask")
    end_of_turn = "<|im_end|>"  # the tokenizer's own end is that of a text
