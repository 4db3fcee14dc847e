"""The teacher reads the transcript and says how likely each token was that the student wrote.

`Teacher` is what the trainer asks for; `LocalTeacher` is a text model in the same process, `ServedTeacher` one behind a
vLLM server. Knows nothing about audio.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import torch

from training import processes
from training.checkpoint import open_model
from training.corpus.record import Record
from training.examples import TextCollator
from training.kd.divergence import Dense, Distribution, TopK
from training.kd.rollout import Answer, answer_logits, followed_by


class Teacher(Protocol):
    """Distributions for the positions of all answers' tokens, one after another."""

    def read(self, records: Sequence[Record], answers: Sequence[Answer]) -> Distribution: ...


def opened(folder: Path) -> Any:
    """A text model to read with: nothing of it is trained, and it is on the GPU if there is one."""
    processes.settle()
    model = open_model(folder).eval().requires_grad_(False)
    return model.to("cuda") if torch.cuda.is_available() else model


@dataclass
class LocalTeacher:
    """A text model here, given transcript and query in the service's own words, then the very ids that were sampled.

    vocabulary: how many ids it shares with the student; the rest is sliced off, and the shared ones sum to one.
    """

    model: Any
    collator: TextCollator
    vocabulary: int

    @torch.no_grad()
    def read(self, records: Sequence[Record], answers: Sequence[Answer]) -> Distribution:
        longest = max(len(answer.ids) for answer in answers)
        questions = self.collator.questions(records, longest)
        given = followed_by(questions, answers, self.collator.tokenizer.pad_token_id)
        logits = answer_logits(self.model, given, answers)[:, : self.vocabulary]
        return Dense(logits.float().log_softmax(-1))


class TeacherError(RuntimeError):
    """A served teacher did not answer as it should; the message says what it said."""


@dataclass
class ServedTeacher:
    """A text model behind vLLM's OpenAI server, asked for `prompt_logprobs`: the k likeliest tokens of every position.

    client: with the server's address and a time-out. model: its name there. vocabulary: ids it shares with the student;
    likelier tokens beyond them fall into the tail. k: at most the server's `--max-logprobs`. at_once: open requests.
    """

    client: httpx.Client
    model: str
    collator: TextCollator
    vocabulary: int
    k: int = 20
    at_once: int = 8

    def read(self, records: Sequence[Record], answers: Sequence[Answer]) -> Distribution:
        prompts = [self.collator.question(record)[0] for record in records]
        with ThreadPoolExecutor(self.at_once) as pool:
            said = pool.map(self._ask, prompts, [answer.ids for answer in answers])
            positions = [position for answer in said for position in answer]
        width = max(map(len, positions))
        ids = torch.zeros((len(positions), width), dtype=torch.long)
        known = torch.full((len(positions), width), -torch.inf)
        for row, position in enumerate(positions):
            ids[row, : len(position)] = torch.tensor(list(position), dtype=torch.long)
            known[row, : len(position)] = torch.tensor(list(position.values()))
        return TopK(ids, known)

    def _ask(self, question: list[int], answer: list[int]) -> list[dict[int, float]]:
        """Token id → log-probability, at each of the answer's tokens."""
        asked = {
            "model": self.model,
            "prompt": [*question, *answer],
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": self.k,
        }
        response = self.client.post("/v1/completions", json=asked)
        if response.status_code != 200:
            raise TeacherError(f"the teacher answered {response.status_code}: {response.text[:500]}")
        found = response.json()["choices"][0].get("prompt_logprobs")
        if not found or len(found) != len(question) + len(answer):
            raise TeacherError("the teacher gave no prompt_logprobs for every token: is it a vLLM server?")
        return [
            {int(token): said["logprob"] for token, said in position.items() if int(token) < self.vocabulary}
            for position in found[len(question) :]
        ]
