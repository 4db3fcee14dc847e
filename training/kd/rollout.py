"""The student writes: one sampled answer a record, as token ids, no gradient.

`Rollout` is what the trainer asks for; `TransformersRollout` is Transformers' own sampling, `training.kd.vllm_rollout`
has the other; `ReferenceRollout` writes what the data holds, for the steps off policy. Knows nothing about teachers.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from training.data.answer_limit import answer_limit, answer_limit_within
from training.data.record import Record
from training.kd.unmodified_sampling import unmodified_sampling
from training.kd.weight_sync import MergedCopy
from training.models.collate import Collator
from training.models.precision import to_model_device
from training.models.trl_patches import logits_at
from training.runtime import distributed
from training.runtime.option_names import add_option

Questions = dict[str, torch.Tensor]  # of `Collator.questions`


@dataclass(frozen=True)
class Answer:
    """Sampled ids, up to and with the end of the turn; `ended` is False if the answer met its limit before that.

    likely: log-probabilities that the ids had when they were sampled, where that is known.
    """

    ids: list[int]
    is_complete: bool
    log_probabilities: list[float] | None = None


class Rollout(Protocol):
    """Answers of the student as it now is. questions: of `collate_questions`, where they have been made already."""

    def sample(self, model: Any, records: Sequence[Record], questions: Questions | None = None) -> list[Answer]: ...


def add_answer_tokens_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that limits a sampled answer: one answer that does not end holds up the whole batch."""
    what = "Most tokens of a sampled answer. 0 leaves it to the style of the record."
    add_option(parser, "--max-completion-length", "--answer-tokens", type=int, default=0, help=what)


def collate_questions(collator: Collator, records: Sequence[Record]) -> Questions:
    """The collator's questions, with room for the longest answer that the records' styles allow."""
    return collator.collate_questions(records, max(map(answer_limit, records)))


@dataclass
class TransformersRollout:
    """Transformers' generate, in the process that trains.

    forbidden: ids that no answer may hold (placeholders). temperature: of the sampling; 0 is greedy. together: the
    model is the one that all processes train, and all of them sample at the same time. most: tokens of an answer, where
    its style allows more; 0 leaves it to the style. copy: what samples in the model's place, with its weights.
    """

    collator: Collator
    temperature: float = 1.0
    forbidden_ids: list[int] = field(default_factory=list)
    all_processes: bool = False
    max_answer_tokens: int = 0
    merged_copy: MergedCopy | None = None

    @torch.no_grad()
    def sample(self, model: Any, records: Sequence[Record], questions: Questions | None = None) -> list[Answer]:
        if self.merged_copy:
            with torch.autocast(model.device.type, enabled=False):
                return self._generate(self.merged_copy.update_from(model), records, questions)
        return self._generate(model, records, questions)

    def _generate(self, model: Any, records: Sequence[Record], questions: Questions | None) -> list[Answer]:
        limits = [answer_limit_within(record, self.max_answer_tokens) for record in records]
        tokenizer = self.collator.tokenizer
        given = to_model_device(questions or collate_questions(self.collator, records), model)
        how: dict[str, Any] = {"do_sample": False}
        if self.temperature:
            # The whole distribution: a cut one would be another policy than the one that is trained.
            how = {"do_sample": True, "temperature": self.temperature, "top_k": 0, "top_p": 1.0}
        was_training = model.training
        model.eval()
        with unmodified_sampling(model), logits_at(model, slice(-1, None)):
            made = model.generate(
                **given,
                **how,
                max_new_tokens=max(limits),
                suppress_tokens=self.forbidden_ids or None,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
                # Where each process holds a part of every parameter, one whose answers are done goes on for the others.
                synced_gpus=self.all_processes and distributed.parameters_are_sharded(),
            )[:, given["input_ids"].shape[1] :]
        model.train(was_training)
        pairs = zip(made.tolist(), limits, strict=True)
        return [truncate_at_end(ids[:limit], tokenizer.eos_token_id) for ids, limit in pairs]


@dataclass
class ReferenceRollout:
    """The records' own summaries, as the student would have written them: the steps off policy."""

    collator: Collator

    def sample(self, model: Any, records: Sequence[Record], questions: Questions | None = None) -> list[Answer]:
        """Raises `BadExample` for a record without a summary."""
        return [Answer(self.collator.encode_answer(record), True) for record in records]


def concatenate_questions(questions: Sequence[Questions], pad_id: int) -> Questions:
    """Several batches' questions as those of one batch: padded left to the longest, all else one after another."""
    width = max(given["input_ids"].shape[1] for given in questions)
    filled = []
    for given in questions:
        missing = width - given["input_ids"].shape[1]
        ids = torch.nn.functional.pad(given["input_ids"], (missing, 0), value=pad_id)
        filled.append(
            given | {"input_ids": ids, "attention_mask": torch.nn.functional.pad(given["attention_mask"], (missing, 0))}
        )
    return {name: torch.cat([given[name] for given in filled]) for name in filled[0]}


def truncate_at_loop(answer: Answer, run: int) -> Answer:
    """The answer up to where it begins to say again `run` tokens that stand in it already."""
    seen: set[tuple[int, ...]] = set()
    for start in range(len(answer.ids) - run + 1):
        tokens = tuple(answer.ids[start : start + run])
        if tokens in seen:
            likely = None if answer.log_probabilities is None else answer.log_probabilities[:start]
            return Answer(answer.ids[:start], False, likely)
        seen.add(tokens)
    return answer


def truncate_at_end(ids: list[int], end: int) -> Answer:
    """The ids up to and with the first end of turn."""
    return Answer(ids[: ids.index(end) + 1], True) if end in ids else Answer(ids, False)


def append_answers(questions: Questions, answers: Sequence[Answer], pad_id: int) -> Questions:
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
    return questions | {n: torch.cat([questions[n], value.to(questions[n].device)], 1) for n, value in both.items()}


def answer_logits(model: Any, given: dict[str, torch.Tensor], answers: Sequence[Answer]) -> torch.Tensor:
    """Logits at which each answer token was to be guessed, (all answers' tokens one after another, vocabulary).

    given: of `append_answers`. Only the K positions' logits are worked out, K the longest answer's tokens, whatever the
    family (`training.models.trl_patches`). No keys and values are kept: they would differ from layer to layer, and
    `--compile` would give up after eight of them.
    """
    longest = max(len(answer.ids) for answer in answers)
    with logits_at(model, slice(-longest - 1, -1)):
        logits = model(**to_model_device(given, model), use_cache=False).logits
    return torch.cat([logits[row, : len(answer.ids)] for row, answer in enumerate(answers)])
