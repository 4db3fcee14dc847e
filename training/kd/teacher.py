"""The teacher reads the transcript and gives its distribution at each token that the student wrote.

`Teacher` is what the trainer needs: `LocalTeacher` is a text model in this process, `VllmTeacher` one behind a vLLM
server. If its tokens differ from the student's, a `TeacherWriter` writes the teacher's own summaries, in either place.
Knows nothing about audio.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from typing import Any, Protocol

import httpx
import torch

from app.core.prompts import transcript_messages
from app.core.vllm_http import NEUTRAL_SAMPLING, error_message
from training.data.answer_limit import answer_limit
from training.data.record import Record
from training.kd.divergence import DenseDistribution, Distribution, TopKDistribution, exclude_tokens
from training.kd.rollout import Answer, TransformersRollout, answer_logits, append_answers
from training.llm.endpoint import vllm_client
from training.models.checkpoint import open_model
from training.models.collate import TextCollator
from training.runtime import distributed


class Teacher(Protocol):
    """Gives its distributions at the tokens of answers."""

    def read(self, records: Sequence[Record], answers: Sequence[Answer]) -> Distribution:
        """Return the distributions at the tokens of all answers, one answer after another."""


def open_teacher(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """Return the text model of the folder, frozen, on the GPU if there is one."""
    distributed.prepare_process()
    model = open_model(folder, dtype).eval().requires_grad_(False)
    return model.to("cuda") if torch.cuda.is_available() else model


@dataclass
class LocalTeacher:
    """A text model in this process. It reads the transcript and the query in the service's prompt, then the token ids
    that were sampled.

    Attributes:
        model: the Transformers model.
        collator: encodes the prompts.
        vocabulary: number of token ids, from 0, that it shares with the student. Distributions are taken over these.
        excluded_ids: ids among them that get no probability (`training.kd.shared_tokens`).
    """

    model: Any
    collator: TextCollator
    vocabulary: int
    excluded_ids: tuple[int, ...] = ()

    @torch.no_grad()
    def read(self, records: Sequence[Record], answers: Sequence[Answer]) -> Distribution:
        """Return a `DenseDistribution` at the tokens of all answers, one answer after another."""
        longest = max(len(answer.ids) for answer in answers)
        questions = self.collator.collate_questions(records, longest)
        given = append_answers(questions, answers, self.collator.tokenizer.pad_token_id)
        logits = answer_logits(self.model, given, answers)[:, : self.vocabulary]
        return DenseDistribution(exclude_tokens(logits, self.excluded_ids).log_softmax(-1))


class TeacherError(RuntimeError):
    """The teacher's server failed or gave an unusable answer. The message quotes it."""


@dataclass
class VllmTeacher:
    """A text model behind a vLLM server, which gives `prompt_logprobs`: the most likely tokens at every position.

    Attributes:
        client: has the server's address and a time-out.
        model: the model's name on the server.
        collator: encodes the prompts.
        vocabulary: number of token ids, from 0, that it shares with the student. Others count into the tail.
        top_k: tokens asked for at each position, at most the server's `--max-logprobs`.
        concurrency: requests open at once.
        excluded_ids: ids that do not count (`training.kd.shared_tokens`). Their probability, as far as it is known, is
            given to all others in proportion.
    """

    client: httpx.Client
    model: str
    collator: TextCollator
    vocabulary: int
    top_k: int = 20
    concurrency: int = 8
    excluded_ids: tuple[int, ...] = ()

    @classmethod
    def connect(
        cls, url: str, collator: TextCollator, vocabulary: int, top_k: int, excluded_ids: tuple[int, ...] = ()
    ) -> "VllmTeacher":
        """Return the first model that the server at this address lists. Raises TeacherError if it lists none."""
        client = vllm_client(url)
        return cls(client, first_model_name(client), collator, vocabulary, top_k, excluded_ids=excluded_ids)

    def read(self, records: Sequence[Record], answers: Sequence[Answer]) -> Distribution:
        """Return a `TopKDistribution` at the tokens of all answers, on the CPU. Raises TeacherError."""
        prompts = [self.collator.encode_question(record)[0] for record in records]
        with ThreadPoolExecutor(self.concurrency) as pool:
            answers_positions = pool.map(self._ask, prompts, [answer.ids for answer in answers])
            positions = [position for answer in answers_positions for position in answer]
        width = max(1, *map(len, positions))
        ids = torch.zeros((len(positions), width), dtype=torch.long)
        log_probabilities = torch.full((len(positions), width), -torch.inf)
        for row, position in enumerate(positions):
            ids[row, : len(position)] = torch.tensor(list(position), dtype=torch.long)
            log_probabilities[row, : len(position)] = torch.tensor(list(position.values()))
        return TopKDistribution(ids, log_probabilities)

    def _ask(self, question: list[int], answer: list[int]) -> list[dict[int, float]]:
        """Return, for each token of the answer, the known log-probabilities by token id."""
        request = {
            "model": self.model,
            "prompt": [*question, *answer],
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": self.top_k,
        }
        positions = _post(self.client, "/v1/completions", request)["choices"][0].get("prompt_logprobs")
        if not positions or len(positions) != len(question) + len(answer):
            raise TeacherError("the teacher gave no prompt_logprobs for every token: is it a vLLM server?")
        return [self._renormalized_tokens(position) for position in positions[len(question) :]]

    def _renormalized_tokens(self, position: dict[str, Any]) -> dict[int, float]:
        """Return log-probabilities by token id, for the distribution over the tokens that count."""
        log_probabilities = {int(token): float(of["logprob"]) for token, of in position.items()}
        rest = 1 - sum(exp(log_probabilities[token]) for token in self.excluded_ids if token in log_probabilities)
        shift = -log(max(rest, 1e-9))
        return {
            token: min(0.0, value + shift)
            for token, value in log_probabilities.items()
            if token < self.vocabulary and token not in self.excluded_ids
        }


class TeacherWriter(Protocol):
    """Writes the teacher's own summaries."""

    def write(self, records: Sequence[Record]) -> list[tuple[str, bool]]:
        """Return the summary of each record, and whether it came to an end."""


@dataclass
class LocalTeacherWriter:
    """A text model in this process, which decodes greedily."""

    model: Any
    collator: TextCollator

    def write(self, records: Sequence[Record]) -> list[tuple[str, bool]]:
        """Return the summary of each record, and whether it came to an end."""
        answers = TransformersRollout(self.collator, temperature=0).sample(self.model, records)
        return [(self.collator.decode_answer(answer.ids), answer.is_complete) for answer in answers]


@dataclass
class ServedTeacherWriter:
    """A text model behind an OpenAI-compatible server, which decodes greedily. For the attributes see `VllmTeacher`."""

    client: httpx.Client
    model: str
    concurrency: int = 8

    @classmethod
    def connect(cls, url: str) -> "ServedTeacherWriter":
        """Return the first model that the server at this address lists. Raises TeacherError if it lists none."""
        client = vllm_client(url)
        return cls(client, first_model_name(client))

    def write(self, records: Sequence[Record]) -> list[tuple[str, bool]]:
        """Return the summary of each record, and whether it came to an end. Raises TeacherError."""
        with ThreadPoolExecutor(self.concurrency) as pool:
            return list(pool.map(self._write_one, records))

    def _write_one(self, record: Record) -> tuple[str, bool]:
        request = {
            "model": self.model,
            "messages": transcript_messages(record.query, record.transcript),
            "max_tokens": answer_limit(record),
            "temperature": 0,
            **NEUTRAL_SAMPLING,
        }
        choice = _post(self.client, "/v1/chat/completions", request)["choices"][0]
        return str(choice["message"]["content"] or "").strip(), choice["finish_reason"] == "stop"


def first_model_name(client: httpx.Client) -> str:
    """Return the name of the first model that the server lists. Raises TeacherError if it lists none."""
    try:
        return str(client.get("/v1/models").raise_for_status().json()["data"][0]["id"])
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise TeacherError(f"{client.base_url}: the teacher's server lists no model: {error!r}") from error


def _post(client: httpx.Client, path: str, request: dict[str, Any]) -> dict[str, Any]:
    try:
        response = client.post(path, json=request)
    except httpx.HTTPError as error:
        raise TeacherError(f"{client.base_url}: the teacher does not answer: {error!r}") from error
    if response.status_code != 200:
        raise TeacherError(f"the teacher answered {response.status_code}: {error_message(response.content)}")
    return dict(response.json())
