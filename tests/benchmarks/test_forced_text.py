"""A vLLM server that is told what to write: each row of the batch goes on with the text where its own answer is."""

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.recordings import TEXT
from model_repo import registry
from model_repo.assemble import assemble_checkpoint

pytestmark = pytest.mark.slow  # importing vLLM takes half a minute


def test_every_row_goes_on_with_the_text_where_it_is() -> None:
    import torch
    from vllm import SamplingParams
    from vllm.v1.sample.logits_processor import BatchUpdate

    from benchmarks.forced_text import ForcedText

    folder = str(assemble_checkpoint(registry.resolve_model(registry.REGISTRY_ROOT, "speechsum-tiny")))
    config: Any = SimpleNamespace(model_config=SimpleNamespace(model=folder))
    forced = ForcedText(config, torch.device("cpu"), False)
    ids = forced._ids
    assert len(ids) > 40, TEXT
    answers: list[list[int]] = [[], [], []]

    def step(rows: list[list[int]], update: BatchUpdate | None) -> None:
        forced.update_state(update)
        tokens = forced.apply(torch.randn(len(rows), 50_000)).argmax(-1).tolist()
        for answer, token in zip(rows, tokens, strict=True):
            answer.append(token)

    first, second, third = answers
    parameters = SamplingParams()
    step([first], BatchUpdate(1, [], [(0, parameters, None, first)], []))
    step([first, second], BatchUpdate(2, [], [(1, parameters, None, second)], []))
    step([first, second], None)
    # The first row's answer is complete, and a new one takes its row.
    step([third, second], BatchUpdate(2, [], [(0, parameters, None, third)], []))
    assert (first, second, third) == (ids[:3], ids[:3], ids[:1])
    assert not forced.is_argmax_invariant()
