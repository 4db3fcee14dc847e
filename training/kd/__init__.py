"""The parts of on-policy distillation, which `training.recipes.distill` puts together.

    rollout.py              the student samples answers, with Transformers' generate
    vllm_rollout.py         or with a vLLM server, which gets the student's weights between steps
    weight_sync.py          those weights as an engine loads them, or as a copy that samples faster
    unmodified_sampling.py  sampling without the settings that a checkpoint brings
    teacher.py              the teacher reads, here or behind a vLLM server: its distribution at the student's tokens
    divergence.py           how far the two distributions are apart
    shared_tokens.py        whether student and teacher mean the same by their token ids

None of them knows how the student is trained.
"""
