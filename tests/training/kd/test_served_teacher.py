"""The teacher behind a real vLLM server gives what the same checkpoint gives here."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from tests.training.kd.vllm_servers import vllm_server
from tests.training.tiny_checkpoints import record, write_llama
from training.kd.divergence import DenseDistribution, TopKDistribution
from training.kd.rollout import Answer
from training.kd.teacher import LocalTeacher, VllmTeacher
from training.models.checkpoint import open_model
from training.models.collate import TextCollator

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with one head of 64: vLLM's attention on CPU knows none of 16."""
    return write_llama(tmp_path_factory.mktemp("llama"), num_attention_heads=1, num_key_value_heads=1)


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with vllm_server(folder, tmp_path_factory.mktemp("vllm") / "log") as url:
        yield url


def test_it_reads_as_the_same_model_reads_here(server: str, folder: Path, tmp_path: Path) -> None:
    reads = TextCollator(AutoTokenizer.from_pretrained(folder))
    rows = [record(i, tmp_path, transcript=f"Caller {i} wants {i} pumps.") for i in range(3)]
    answers = [Answer([11, 12, 2], True), Answer([40], False), Answer([7, 2], True)]
    model = open_model(folder).eval()
    size = model.config.vocab_size
    here, there = (
        LocalTeacher(model, reads, size).read(rows, answers),
        VllmTeacher.connect(server, reads, size, 20).read(rows, answers),
    )
    assert isinstance(here, DenseDistribution)
    assert isinstance(there, TopKDistribution)
    assert there.ids.shape[0] == 6
    known = ~there.log_probabilities.isneginf()
    assert known.sum(-1).min() >= 20
    expected = here.log_probabilities.gather(-1, there.ids)
    torch.testing.assert_close(there.log_probabilities[known], expected[known], atol=2e-3, rtol=1e-3)
