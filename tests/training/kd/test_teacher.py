"""The teacher behind a server: what it is asked, and what its answers become. `test_rollout` has the local one."""

import json
import math
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from transformers import AutoTokenizer

from tests.training.tiny_checkpoints import record
from training.data.record import Record
from training.kd.divergence import DenseDistribution, TopKDistribution, divergence
from training.kd.rollout import Answer
from training.kd.teacher import LocalTeacher, TeacherError, VllmTeacher
from training.models.checkpoint import open_model
from training.models.collate import TextCollator

WORDS = 1000


class Server:
    """A vLLM server's `/v1/completions`, as far as prompt_logprobs go, over a small model."""

    def __init__(self, folder: Path) -> None:
        self.model = open_model(folder).eval()
        self.asked: list[dict[str, Any]] = []

    @torch.no_grad()
    def __call__(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        self.asked.append(asked)
        ids = torch.tensor(asked["prompt"])
        said = self.model(ids[None]).logits[0].log_softmax(-1)
        places: list[dict[str, Any] | None] = [None]
        for position, token in enumerate(ids[1:].tolist()):
            best = {*said[position].topk(asked["prompt_logprobs"]).indices.tolist(), token}
            places.append({str(i): {"logprob": float(said[position, i]), "rank": 1} for i in best})
        return httpx.Response(200, json={"choices": [{"text": "x", "prompt_logprobs": places}]})


@pytest.fixture(scope="module")
def reads(llama_folder: Path) -> TextCollator:
    return TextCollator(AutoTokenizer.from_pretrained(llama_folder))


@pytest.fixture
def rows(tmp_path: Path) -> list[Record]:
    return [record(i, tmp_path, transcript=f"Caller {i} wants {i} pumps.") for i in range(3)]


def served_teacher(handler: Any, reads: TextCollator, vocabulary: int, k: int) -> VllmTeacher:
    client = httpx.Client(base_url="http://teacher", transport=httpx.MockTransport(handler))
    return VllmTeacher(client, "twin", reads, vocabulary, k, concurrency=2)


ANSWERS = [Answer([11, 12, 2], True), Answer([40], False), Answer([7, 2], True)]


def test_it_says_what_the_same_model_says_here(llama_folder: Path, reads: TextCollator, rows: list[Record]) -> None:
    server = Server(llama_folder)
    size = server.model.config.vocab_size
    there = served_teacher(server, reads, size, 30).read(rows, ANSWERS)
    here = LocalTeacher(server.model, reads, size).read(rows, ANSWERS)
    assert isinstance(there, TopKDistribution)
    assert isinstance(here, DenseDistribution)
    assert there.ids.shape[0] == 6
    known = ~there.log_probabilities.isneginf()
    torch.testing.assert_close(
        there.log_probabilities[known], here.log_probabilities.gather(-1, there.ids)[known], atol=1e-4, rtol=1e-4
    )
    torch.manual_seed(0)
    student = torch.randn(6, size)
    assert (divergence(student, there, 0.0) <= divergence(student, here, 0.0) + 1e-4).all()
    asked = {json.dumps(a["prompt"]): a for a in server.asked}
    for row, answer in zip(rows, ANSWERS, strict=True):
        one = asked[json.dumps([*reads.encode_question(row)[0], *answer.ids])]
        assert (one["model"], one["max_tokens"], one["prompt_logprobs"]) == ("twin", 1, 30)


def test_tokens_the_student_lacks_fall_into_the_tail(reads: TextCollator, rows: list[Record]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        count = len(json.loads(request.content)["prompt"])
        place = {"3": {"logprob": math.log(0.5)}, str(WORDS): {"logprob": math.log(0.3)}}
        return httpx.Response(200, json={"choices": [{"prompt_logprobs": [None, *[place] * (count - 1)]}]})

    found = served_teacher(answer, reads, WORDS, 2).read(rows, ANSWERS)
    assert isinstance(found, TopKDistribution)
    assert found.ids.tolist() == [[3]] * 6
    assert divergence(torch.zeros(6, WORDS), found, 0.0).isfinite().all()


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (httpx.Response(400, text="prompt_logprobs: at most 20"), "400: prompt_logprobs: at most 20"),
        (httpx.Response(200, json={"choices": [{"text": "x"}]}), "no prompt_logprobs"),
        (httpx.Response(200, json={"choices": [{"prompt_logprobs": [None]}]}), "no prompt_logprobs"),
    ],
)
def test_a_server_that_does_not_do_it_is_told_apart(
    reads: TextCollator, rows: list[Record], response: httpx.Response, said: str
) -> None:
    with pytest.raises(TeacherError, match=said):
        served_teacher(lambda _: response, reads, WORDS, 2).read(rows, ANSWERS)
