"""The trainer of on-policy distillation: it samples answers, lets the teacher read them, and trains on the divergence.

Knows nothing about options, checkpoints or where student and teacher run.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import islice
from random import Random
from typing import Any

import torch
from transformers import Trainer, TrainingArguments

from training.data.record import Record
from training.facts.coverage import repetition_rate
from training.kd.divergence import divergence
from training.kd.rollout import (
    Answer,
    ReferenceRollout,
    Rollout,
    answer_logits,
    append_answers,
    collate_questions,
    concatenate_questions,
    truncate_at_loop,
)
from training.kd.teacher import Teacher
from training.kd.vllm_rollout import off_policy_gap
from training.models.collate import Collator
from training.recipes.resumable_trainer import ResumableTrainerMixin
from training.runtime.stage_clock import StageClock


class DistillTrainer(ResumableTrainerMixin, Trainer):
    """Transformers' trainer whose data set is a list of records and whose loss is the mean divergence of a token.

    Args:
        collator: encodes the student's questions.
        rollout: samples the student's answers.
        teacher: gives its distribution at each token of the answers.
        vocabulary: number of token ids, from 0, that student and teacher share.
        beta: see `training.kd.divergence.divergence`.
        off_policy_share: share of the steps in which the teacher reads the records' own summaries.
        loop_tokens: an answer counts up to where it repeats this many of its tokens. 0 counts all of it.
        steps_per_rollout: steps whose recordings are answered at once, with the weights of the first of them.
        excluded_ids: token ids that mean different things to student and teacher, and do not count.
        more: further arguments of `Trainer`.
    """

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        *,
        collator: Collator,
        rollout: Rollout,
        teacher: Teacher,
        vocabulary: int,
        beta: float,
        off_policy_share: float = 0.0,
        loop_tokens: int = 0,
        steps_per_rollout: int = 1,
        excluded_ids: tuple[int, ...] = (),
        **more: Any,
    ) -> None:
        super().__init__(model, args, data_collator=partial(question_batch, collator), **more)
        self.excluded_ids = excluded_ids
        self.collator, self.rollout, self.teacher = collator, rollout, teacher
        self.vocabulary, self.beta = vocabulary, beta
        self.off_policy_share, self.loop_tokens, self.references = (
            off_policy_share,
            loop_tokens,
            ReferenceRollout(collator),
        )
        self.steps_per_rollout, self._pending_batches = steps_per_rollout, list[Any]()
        self.model_accepts_loss_kwargs = False  # the loss is a mean over the batch: Trainer averages accumulated ones
        self._metrics: dict[str, list[float]] = defaultdict(list)
        self._clock, self._logged_step = StageClock(), 0

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the mean divergence over the tokens of the batch's answers, a scalar. `inputs` is what
        `question_batch` returns, with `answers` if they have been sampled already.
        """
        records, questions = inputs["records"], inputs["questions"]
        is_off_policy = self._is_off_policy_step(self.state.global_step)
        writer: Rollout = self.references if is_off_policy else self.rollout
        with self.accelerator.autocast():
            sampled = inputs.get("answers")
            if not sampled:
                with self._clock.measure("rollout"):
                    sampled = writer.sample(self.accelerator.unwrap_model(model), records, questions)
            answers = (
                [truncate_at_loop(answer, self.loop_tokens) for answer in sampled] if self.loop_tokens else sampled
            )
            with self._clock.measure("teacher"):
                teacher_distribution = self.teacher.read(records, answers)
        inputs_with_answers = append_answers(questions, answers, self.collator.tokenizer.pad_token_id)
        logits = answer_logits(model, inputs_with_answers, answers)
        divergences = divergence(
            logits[:, : self.vocabulary], teacher_distribution, self.beta, excluded_ids=self.excluded_ids
        )
        counts = countable_tokens(divergences, answers, self.excluded_ids)
        # The mean is over the tokens of all processes, because gradients and metrics are averaged over the processes.
        tokens = self.accelerator.reduce(counts.float().sum(), "mean").clamp_min(1)
        loss = (divergences * counts).sum() / tokens
        if is_off_policy:
            self._metrics["divergence_of_references"].append(float(loss.detach()))
        else:
            self._record_metrics(sampled, float(loss.detach()), off_policy_gap(logits, answers))
        return (loss, {}) if return_outputs else loss

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """Return the batches of one step. If several steps share a rollout, their batches are answered together at the
        first of these steps.
        """
        if self.steps_per_rollout == 1:
            return super().get_batch_samples(epoch_iterator, num_batches, device)
        if not self._pending_batches:
            several, _ = super().get_batch_samples(epoch_iterator, num_batches * self.steps_per_rollout, device)
            self._pending_batches = self._add_answers(several, num_batches)
        now, self._pending_batches = self._pending_batches[:num_batches], self._pending_batches[num_batches:]
        return now, None

    def _add_answers(self, batches: list[Any], a_step: int) -> list[Any]:
        """Add the student's answers to the batches, except for those of steps that read the records' summaries."""
        first = self.state.global_step
        on_policy = [b for i, b in enumerate(batches) if not self._is_off_policy_step(first + i // a_step)]
        if on_policy:
            records = [record for batch in on_policy for record in batch["records"]]
            questions = concatenate_questions(
                [batch["questions"] for batch in on_policy], self.collator.tokenizer.pad_token_id
            )
            with self.accelerator.autocast(), self._clock.measure("rollout"):
                sampled = iter(self.rollout.sample(self.accelerator.unwrap_model(self.model), records, questions))
            for batch in on_policy:
                batch["answers"] = list(islice(sampled, len(batch["records"])))
        return batches

    def _is_off_policy_step(self, step: int) -> bool:
        """Decide by the step alone: all processes have to agree, and so does a run that continues from a checkpoint."""
        return Random(f"{self.args.seed} {step}").random() < self.off_policy_share

    def _record_metrics(self, answers: Sequence[Answer], loss: float, off: float | None) -> None:
        texts = [self.collator.decode_answer(answer.ids) for answer in answers]
        metrics: dict[str, Sequence[float]] = {
            "divergence": [loss],
            "answer_tokens": [len(answer.ids) for answer in answers],
            "clipped": [not answer.is_complete for answer in answers],
            "repetition": [repetition_rate(text) for text in texts],
            **({} if off is None else {"off_policy": [off]}),
        }
        for name, values in metrics.items():
            self._metrics[name].append(sum(values) / len(values))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add to the line the means, over all processes, of the metrics since the last line, and the mean seconds that
        rollout and teacher took of a step in this process (`step_seconds` has the whole step's).
        """
        own = torch.tensor([sum(values) / len(values) for values in self._metrics.values()], device=self.args.device)
        means = self.accelerator.reduce(own, "mean").tolist() if self._metrics else []
        logs = logs | {name: round(value, 4) for name, value in zip(self._metrics, means, strict=True)}
        self._metrics.clear()
        if steps := self.state.global_step - self._logged_step:
            logs |= {f"{part}_seconds": round(all_ / steps, 4) for part, all_ in self._clock.take_seconds().items()}
            self._logged_step = self.state.global_step
        super().log(logs, start_time)


def countable_tokens(away: torch.Tensor, answers: Sequence[Answer], excluded_ids: Sequence[int]) -> torch.Tensor:
    """Return which tokens of the answers count, as a bool tensor of shape (positions,) on the device of `away`.

    Excluded ids do not count. Only answers that were not sampled in this process can hold them.
    """
    token_ids = torch.tensor([token for answer in answers for token in answer.ids], device=away.device)
    return ~torch.isin(token_ids, torch.tensor(list(excluded_ids), dtype=torch.long, device=away.device))


def question_batch(collator: Collator, records: Sequence[Record]) -> dict[str, Any]:
    """Return a batch: `records`, a list, and `questions`, their encoded prompts (`collate_questions`).

    It is the data loader's collator, because decoding audio takes time: `--dataloader-num-workers` processes do it.
    """
    return {"records": list(records), "questions": collate_questions(collator, records)}
