"""The teacher reads the transcript and says how likely each token was that the student wrote.

`Teacher` is what the trainer asks for; `LocalTeacher` is a text model in the same process, `VllmTeacher` one behind a
vLLM server. Where its tokens are not the student's, a `TeacherWriter` writes the teacher's own summaries, in either
place. Knows nothing about audio.
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
    """Distributions for the positions of all answers' tokens, one after another."""

    def read(self, records: Sequence[Record], answers: Sequence[Answer]) -> Distribution: ...


def open_teacher(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """A text model to read with: nothing of it is trained, and it is on the GPU if there is one."""
    distributed.prepare_process()
    model = open_model(folder, dtype).eval().requires_grad_(False)
    return model.to("cuda") if torch.cuda.is_available() else model


@dataclass
class LocalTeacher:
    """A text model here, given transcript and query in the service's own words, then the very ids that were sampled.

    vocabulary: how many ids it shares with the student; the rest is sliced off, and the shared ones sum to one, without
    those that are excluded (`training.kd.shared_tokens`).
    """

    model: Any
    collator: TextCollator
    vocabulary: int
    excluded_ids: tuple[int, ...] = ()

    @torch.no_grad()
    def read(self, records: Sequence[Record], answers: Sequence[Answer]) -> Distribution:
        longest = max(len(answer.ids) for answer in answers)
        questions = self.collator.collate_questions(records, longest)
        given = append_answers(questions, answers, self.collator.tokenizer.pad_token_id)
        logits = answer_logits(self.model, given, answers)[:, : self.vocabulary]
        return DenseDistribution(exclude_tokens(logits, self.excluded_ids).log_softmax(-1))


class TeacherError(RuntimeError):
    """A served teacher did not answer as it should; the message says what it said."""


@dataclass
class VllmTeacher:
    """A text model behind vLLM's OpenAI server, asked for `prompt_logprobs`: the k likeliest tokens of every position.

    client: with the server's address and a time-out. model: its name there. vocabulary: ids it shares with the student;
    likelier tokens beyond them fall into the tail. k: at most the server's `--max-logprobs`. at_once: open requests.
    excluded: ids that do not count (`training.kd.shared_tokens`); what the teacher gives them, as far as it is known,
    is shared out among all others.
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
        """The one at this address, whatever name it has there. Raises `TeacherError`."""
        client = vllm_client(url)
        return cls(client, first_model_name(client), collator, vocabulary, top_k, excluded_ids=excluded_ids)

    def read(self, records: Sequence[Record], answers: Sequence[Answer]) -> Distribution:
        prompts = [self.collator.encode_question(record)[0] for record in records]
        with ThreadPoolExecutor(self.concurrency) as pool:
            said = pool.map(self._ask, prompts, [answer.ids for answer in answers])
            positions = [position for answer in said for position in answer]
        width = max(1, *map(len, positions))
        ids = torch.zeros((len(positions), width), dtype=torch.long)
        known = torch.full((len(positions), width), -torch.inf)
        for row, position in enumerate(positions):
            ids[row, : len(position)] = torch.tensor(list(position), dtype=torch.long)
            known[row, : len(position)] = torch.tensor(list(position.values()))
        return TopKDistribution(ids, known)

    def _ask(self, question: list[int], answer: list[int]) -> list[dict[int, float]]:
        """Token id → log-probability, at each of the answer's tokens."""
        asked = {
            "model": self.model,
            "prompt": [*question, *answer],
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": self.top_k,
        }
        found = _post(self.client, "/v1/completions", asked)["choices"][0].get("prompt_logprobs")
        if not found or len(found) != len(question) + len(answer):
            raise TeacherError("the teacher gave no prompt_logprobs for every token: is it a vLLM server?")
        return [self._renormalized_tokens(position) for position in found[len(question) :]]

    def _renormalized_tokens(self, position: dict[str, Any]) -> dict[int, float]:
        """Token id → log-probability among the tokens that count."""
        said = {int(token): float(of["logprob"]) for token, of in position.items()}
        left = 1 - sum(exp(said[token]) for token in self.excluded_ids if token in said)
        more = -log(max(left, 1e-9))
        return {
            token: min(0.0, value + more)
            for token, value in said.items()
            if token < self.vocabulary and token not in self.excluded_ids
        }


class TeacherWriter(Protocol):
    """Who writes the teacher's own summaries: of each record the text, and whether it came to an end."""

    def write(self, records: Sequence[Record]) -> list[tuple[str, bool]]: ...


@dataclass
class LocalTeacherWriter:
    """A text model here, greedy."""

    model: Any
    collator: TextCollator

    def write(self, records: Sequence[Record]) -> list[tuple[str, bool]]:
        answers = TransformersRollout(self.collator, temperature=0).sample(self.model, records)
        return [(self.collator.decode_answer(answer.ids), answer.is_complete) for answer in answers]


@dataclass
class ServedTeacherWriter:
    """A text model behind an OpenAI-compatible server, greedy. client, model, at_once: as `VllmTeacher`'s."""

    client: httpx.Client
    model: str
    concurrency: int = 8

    @classmethod
    def connect(cls, url: str) -> "ServedTeacherWriter":
        """The one at this address, whatever name it has there. Raises `TeacherError`."""
        client = vllm_client(url)
        return cls(client, first_model_name(client))

    def write(self, records: Sequence[Record]) -> list[tuple[str, bool]]:
        with ThreadPoolExecutor(self.concurrency) as pool:
            return list(pool.map(self._write_one, records))

    def _write_one(self, record: Record) -> tuple[str, bool]:
        asked = {
            "model": self.model,
            "messages": transcript_messages(record.query, record.transcript),
            "max_tokens": answer_limit(record),
            "temperature": 0,
            **NEUTRAL_SAMPLING,
        }
        choice = _post(self.client, "/v1/chat/completions", asked)["choices"][0]
        return str(choice["message"]["content"] or "").strip(), choice["finish_reason"] == "stop"


def first_model_name(client: httpx.Client) -> str:
    """The name of the first model that a server lists. Raises `TeacherError`."""
    try:
        return str(client.get("/v1/models").raise_for_status().json()["data"][0]["id"])
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise TeacherError(f"{client.base_url}: the teacher's server lists no model: {error!r}") from error


def _post(client: httpx.Client, path: str, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        response = client.post(path, json=asked)
    except httpx.HTTPError as error:
        raise TeacherError(f"{client.base_url}: the teacher does not answer: {error!r}") from error
    if response.status_code != 200:
        raise TeacherError(f"the teacher answered {response.status_code}: {error_message(response.content)}")
    return dict(response.json())
