"""Parts of on-policy distillation, put together by `training.recipes.distill`.

    rollout.py          the student writes: Transformers' generate
    served_rollout.py   or a vLLM server, which gets the student's weights between steps
    weights.py          those weights as an engine loads them, or as a copy that samples quicker
    teacher.py          the teacher reads, here or behind a vLLM server: its distribution at the student's tokens
    divergence.py       how far the one lies from the other
    tokens.py           do the two mean the same by their token ids?

None of them knows how the student is trained.
"""
