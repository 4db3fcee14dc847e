"""Sampling from a model as it is.

A checkpoint brings a `generation_config.json` with what its authors found to read well: a repetition penalty, `min_p`,
`top_k`, several tokens that end an answer. Whoever samples to learn, or to compare, must draw from the distribution
that is trained, so nothing of it may apply: here not in Transformers' `generate`. A vLLM server gets
`app.core.vllm_http.NEUTRAL_SAMPLING` with every request.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import GenerationConfig


@contextmanager
def unmodified_sampling(model: Any) -> Iterator[None]:
    """Around `generate`: the model's own `generation_config` does not apply, nor that of what PEFT has put around it.

    `generate` takes from it whatever its caller leaves open, also where the caller gives a configuration.
    """
    changed: list[tuple[Any, Any]] = []
    waiting, seen = [model], set[int]()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if "generation_config" in vars(one):
            changed.append((one, one.generation_config))
            one.generation_config = GenerationConfig(pad_token_id=one.generation_config.pad_token_id)
        waiting += [getattr(one, name, None) for name in ("base_model", "model", "module")]
    try:
        yield
    finally:
        for one, configuration in changed:
            one.generation_config = configuration
