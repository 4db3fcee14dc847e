"""Sampling from a model without the settings that its checkpoint brings.

A checkpoint's `generation_config.json` has what its authors found to read well: a repetition penalty, `min_p`, `top_k`,
several tokens that end an answer. Sampling for training or comparison has to draw from the distribution that is
trained. So none of these settings may apply: this module keeps them out of Transformers' `generate`, and a vLLM server
gets `app.core.vllm_http.NEUTRAL_SAMPLING` with every request.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import GenerationConfig


@contextmanager
def unmodified_sampling(model: Any) -> Iterator[None]:
    """Within this context the `generation_config` of the model, and of the wrappers around it, does not apply.

    Otherwise `generate` takes from it all settings that its caller leaves open, even if the caller passes a
    configuration.
    """
    changed: list[tuple[Any, Any]] = []
    pending, seen = [model], set[int]()
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if "generation_config" in vars(one):
            changed.append((one, one.generation_config))
            one.generation_config = GenerationConfig(pad_token_id=one.generation_config.pad_token_id)
        pending += [getattr(one, name, None) for name in ("base_model", "model", "module")]
    try:
        yield
    finally:
        for one, configuration in changed:
            one.generation_config = configuration
