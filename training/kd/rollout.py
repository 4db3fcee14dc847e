"""The student writes: one sampled answer a record, as token ids, no gradient.

`Rollout` is what the trainer asks for; `Generated` is Transformers' own sampling. Knows nothing about teachers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from app.prompts import Style
from training.corpus.record import Record
from training.examples import Collator


@dataclass(frozen=True)
class Answer:
    """Sampled ids, up to and with the end of the turn; `ended` is False if the answer met its limit before that."""

    ids: list[int]
    ended: bool


class Rollout(Protocol):
    """Answers of the student as it now is."""

    def sample(self, model: Any, records: Sequence[Record]) -> list[Answer]: ...


def answer_limit(record: Record) -> int:
    """Tokens the record's style allows: the service's own limit."""
    return Style(**record.style).max_tokens


@dataclass
class Generated:
    """Transformers' generate, in the process that trains.

    forbidden: ids that no answer may hold (placeholders). temperature: of the sampling; 0 is greedy.
    """

    collator: Collator
    temperature: float = 1.0
    forbidden: list[int] = field(default_factory=list)

    @torch.no_grad()
    def sample(self, model: Any, records: Sequence[Record]) -> list[Answer]:
        limits = [answer_limit(record) for record in records]
        tokenizer = self.collator.tokenizer
        given = {k: v.to(model.device) for k, v in self.collator.questions(records, max(limits)).items()}
        how: dict[str, Any] = {"do_sample": False}
        if self.temperature:
            # The whole distribution: a cut one would be another policy than the one that is trained.
            how = {"do_sample": True, "temperature": self.temperature, "top_k": 0, "top_p": 1.0}
        was_training = model.training
        model.eval()
        made = model.generate(
            **given,
            **how,
            max_new_tokens=max(limits),
            suppress_tokens=self.forbidden or None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )[:, given["input_ids"].shape[1] :]
        model.train(was_training)
        pairs = zip(made.tolist(), limits, strict=True)
        return [until_end(ids[:limit], tokenizer.eos_token_id) for ids, limit in pairs]


def until_end(ids: list[int], end: int) -> Answer:
    """The ids up to and with the first end of turn."""
    return Answer(ids[: ids.index(end) + 1], True) if end in ids else Answer(ids, False)


def followed_by(questions: dict[str, torch.Tensor], answers: Sequence[Answer], pad_id: int) -> dict[str, torch.Tensor]:
    """Questions (padded left) and the answers after them (padded right): in every row the last K columns are the
    answer's, K the longest answer's tokens.
    """
    longest = max(len(answer.ids) for answer in answers)
    ids = torch.full((len(answers), longest), pad_id)
    mask = torch.zeros((len(answers), longest), dtype=torch.long)
    for row, answer in enumerate(answers):
        ids[row, : len(answer.ids)] = torch.tensor(answer.ids)
        mask[row, : len(answer.ids)] = 1
    both = {"input_ids": ids, "attention_mask": mask}
    return questions | {name: torch.cat([questions[name], value], 1) for name, value in both.items()}


def answer_logits(model: Any, given: dict[str, torch.Tensor], answers: Sequence[Answer]) -> torch.Tensor:
    """Logits at which each answer token was to be guessed, (all answers' tokens one after another, vocabulary).

    given: of `followed_by`. Only the last K + 1 positions' logits are worked out.
    """
    longest = max(len(answer.ids) for answer in answers)
    inputs = {name: value.to(model.device) for name, value in given.items()}
    logits = model(**inputs, logits_to_keep=longest + 1).logits[:, :-1]
    return torch.cat([logits[row, : len(answer.ids)] for row, answer in enumerate(answers)])
