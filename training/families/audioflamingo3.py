"""Audio Flamingo 3, the shape of this project's own checkpoints: Whisper's encoder, two linear layers, Qwen2."""

from training.families.base import Family

ENCODER_PROJECTIONS = r"(self_attn\.(q_proj|k_proj|v_proj|out_proj)|fc1|fc2)"  # of one of its encoder's layers


class AudioFlamingo3(Family):
    """Windows of 30 s, any number of them up to the processor's `max_audio_len`."""

    model_type = "audioflamingo3"
    encoder_lora_targets = rf"model\.audio_tower\.layers\.\d+\.{ENCODER_PROJECTIONS}"
