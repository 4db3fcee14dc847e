"""The student samples one answer to each record, as token ids, without gradients.

`Rollout` is what the trainer needs. `TransformersRollout` samples with Transformers in this process,
`training.kd.vllm_rollout` with a vLLM server, and `ReferenceRollout` gives the records' own summaries, for off-policy
steps. Knows nothing about teachers.
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

Questions = dict[str, torch.Tensor]  # what `Collator.collate_questions` returns


@dataclass(frozen=True)
class Answer:
    """A sampled answer.

    Attributes:
        ids: the token ids, up to and including the end of the turn.
        is_complete: whether the turn ended; False if the answer met its limit before that.
        log_probabilities: of the ids when they were sampled, if they are known.
    """

    ids: list[int]
    is_complete: bool
    log_probabilities: list[float] | None = None


class Rollout(Protocol):
    """Samples answers from the student."""

    def sample(self, model: Any, records: Sequence[Record], questions: Questions | None = None) -> list[Answer]:
        """Return one answer to each record, sampled with the model's current weights.

        questions: what `collate_questions` returns for the records, if it has been computed already.
        """


def add_answer_tokens_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that limits a sampled answer: one answer that does not end holds up the whole batch."""
    what = "Most tokens of a sampled answer. 0 leaves it to the style of the record."
    add_option(parser, "--max-completion-length", "--answer-tokens", type=int, default=0, help=what)


def collate_questions(collator: Collator, records: Sequence[Record]) -> Questions:
    """Return the encoded questions, with room for the longest answer that the records' styles allow. Raises
    UnusableRecord for a question that leaves less room.
    """
    return collator.collate_questions(records, max(map(answer_limit, records)))


@dataclass
class TransformersRollout:
    """Samples with Transformers' `generate`, in the process that trains.

    Attributes:
        collator: encodes the questions.
        temperature: of the sampling; 0 is greedy.
        forbidden_ids: token ids that no answer may hold, such as placeholders.
        all_processes: whether several processes train this model and all of them sample at the same time.
        max_answer_tokens: most tokens of an answer; 0 leaves it to the record's style.
        merged_copy: a copy that samples instead of the model, with the model's weights.
    """

    collator: Collator
    temperature: float = 1.0
    forbidden_ids: list[int] = field(default_factory=list)
    all_processes: bool = False
    max_answer_tokens: int = 0
    merged_copy: MergedCopy | None = None

    @torch.no_grad()
    def sample(self, model: Any, records: Sequence[Record], questions: Questions | None = None) -> list[Answer]:
        """Return one answer to each record, sampled with the model's current weights."""
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
            # Sample from the whole distribution: a truncated one is another policy than the one that is trained.
            how = {"do_sample": True, "temperature": self.temperature, "top_k": 0, "top_p": 1.0}
        was_training = model.training
        model.eval()
        with unmodified_sampling(model), logits_at(model, slice(-1, None)):
            generated = model.generate(
                **given,
                **how,
                max_new_tokens=max(limits),
                suppress_tokens=self.forbidden_ids or None,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
                # With sharded parameters, a process whose answers are complete continues for the others.
                synced_gpus=self.all_processes and distributed.parameters_are_sharded(),
            )[:, given["input_ids"].shape[1] :]
        model.train(was_training)
        pairs = zip(generated.tolist(), limits, strict=True)
        return [truncate_at_end(ids[:limit], tokenizer.eos_token_id) for ids, limit in pairs]


@dataclass
class ReferenceRollout:
    """Gives the records' own summaries as if the student had sampled them, for off-policy steps."""

    collator: Collator

    def sample(self, model: Any, records: Sequence[Record], questions: Questions | None = None) -> list[Answer]:
        """Return the summaries as answers. Raises UnusableRecord for a record without a summary."""
        return [Answer(self.collator.encode_answer(record), True) for record in records]


def concatenate_questions(questions: Sequence[Questions], pad_id: int) -> Questions:
    """Return the questions of several batches as those of one batch, padded on the left to the longest."""
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
    """Return the answer up to where it first repeats `run` consecutive tokens of itself."""
    seen: set[tuple[int, ...]] = set()
    for start in range(len(answer.ids) - run + 1):
        tokens = tuple(answer.ids[start : start + run])
        if tokens in seen:
            likely = None if answer.log_probabilities is None else answer.log_probabilities[:start]
            return Answer(answer.ids[:start], False, likely)
        seen.add(tokens)
    return answer


def truncate_at_end(ids: list[int], end: int) -> Answer:
    """Return the ids up to and including the first `end`, the id that ends a turn, as an answer."""
    return Answer(ids[: ids.index(end) + 1], True) if end in ids else Answer(ids, False)


def append_answers(questions: Questions, answers: Sequence[Answer], pad_id: int) -> Questions:
    """Return the questions (padded on the left) with the answers after them (padded on the right). With K the tokens of
    the longest answer, the last K columns of every row are the answer's.
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
    """Return the logits that predict each token of the answers, of shape (tokens of all answers one after another,
    vocabulary).

    given: what `append_answers` returns. Only the logits of K positions are computed, K the tokens of the longest
    answer (`training.models.trl_patches`). No key-value cache is used: it would differ from layer to layer, and
    `--torch-compile` would give up after compiling eight variants.
    """
    longest = max(len(answer.ids) for answer in answers)
    with logits_at(model, slice(-longest - 1, -1)):
        logits = model(**to_model_device(given, model), use_cache=False).logits
    return torch.cat([logits[row, : len(answer.ids)] for row, answer in enumerate(answers)])
