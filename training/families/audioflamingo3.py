"""Audio Flamingo 3, the architecture of this project's own checkpoints: Whisper's encoder, two linear layers, Qwen2."""

from training.families.base import Family

ENCODER_PROJECTIONS = r"(self_attn\.(q_proj|k_proj|v_proj|out_proj)|fc1|fc2)"  # linear layers of one encoder layer


class AudioFlamingo3(Family):
    """Audio is split into windows of 30 s, as many as the processor's `max_audio_len` allows."""

    model_type = "audioflamingo3"
    encoder_lora_targets = rf"model\.audio_tower\.layers\.\d+\.{ENCODER_PROJECTIONS}"
