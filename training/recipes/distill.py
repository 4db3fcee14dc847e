"""On-policy knowledge distillation: the student hears and writes, the teacher reads and says how it would have gone on.

    speechsum-train distill --base var/aligned --start var/runs/sft/adapter.safetensors --teacher var/reader \\
        --data var/data/speech/records.jsonl --out var/runs/distill

Stage two of arXiv 2509.19631. At every step the student answers recordings by sampling; the teacher, given the true
transcript and the same query, gives its distribution at each token of that answer; the student's is moved towards it
(`--beta` 0 is forward KL on the student's own prefixes, as the paper reads; 1 is reverse KL). No gradient goes through
the sampling, and no reference summary is read. What is trained is what `sft` trains: projector and LoRA.

Two settings are for students that still write much that is wrong. With `--off-policy-share` that share of the steps is
not sampled: the teacher reads the records' own summaries (1 - lambda of arXiv 2306.13649). With `--loop-tokens N` an
answer counts only up to where it says N tokens again: a teacher that reads a loop expects it to go on, and would teach
just that.

The teacher is a text model in this process, or with `--teacher-url` the same one behind a vLLM server, of which the
`--top-k` likeliest tokens are known and the rest is one bucket. The student samples in this process too, or with
`--rollout` behind a vLLM server (`speechsum-train serve`) that gets its weights every `--sync-every` steps.

A teacher taught less than its student draws it to what it writes itself. Where none is stronger, take the text
twin, taught on transcripts from the student's own language model on (`sft --start` with the student's adapter), and
after answers of the student's too (`sft --answers`): one that has read right summaries alone may mislead it.

Teacher and student need the same ordinary tokens. Special tokens may differ, as they do between Qwen2.5, Qwen2-Audio
and Qwen2.5-Omni: the student may not sample such ids, and their probability is taken out of both distributions. If
ordinary tokens differ, the distributions cannot be compared: then the teacher's texts become the summaries and `sft`
learns them (sequence-level distillation), and the log's first line says so and why. With `--teacher-url` the server
gives either, and of `--teacher` nothing but the tokenizer is opened.

Sampling takes most of the time where the model is small: token after token, each too little work for a GPU.
`--steps-per-rollout N` answers the recordings of N steps at once, `--rollout-copy` with merged weights.

Logged each step: divergence, tokens an answer, share of answers that met their limit, repetition. The last two are how
this method is known to fail. With `--rollout` also how far the sampled tokens' log-probabilities were from those of the
student that learns from them (`off_policy`). `--features` as in `sft`. Under `accelerate launch`
(training/configs/accelerate) every process samples its part of each batch from the model as it is sharded, all at the
same time, and holds the whole teacher; what is logged is a mean over all of them. Limits: of several processes, each
writes the texts of a teacher with other tokens anew, and `--rollout` is for one process.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import AutoTokenizer, Trainer, TrainingArguments

from training.data.record import Record
from training.data.record_files import write_records
from training.facts.coverage import repetition_rate
from training.families import Family, family_of_folder
from training.kd import vllm_rollout
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
from training.kd.shared_tokens import SharedTokens, forbidden_ids, shared_tokens, token_difference
from training.kd.teacher import (
    LocalTeacher,
    LocalTeacherWriter,
    ServedTeacherWriter,
    Teacher,
    TeacherWriter,
    VllmTeacher,
    open_teacher,
)
from training.kd.vllm_rollout import VllmRollout, WeightSyncCallback, make_rollout, off_policy_gap
from training.models import precision
from training.models.collate import Collator, TextCollator, build_collator
from training.recipes import common, sft
from training.recipes.callbacks import build_callbacks
from training.recipes.common import (
    check_training_data,
    keep_row_order,
    open_configured_student,
    records_and_config,
    records_in_training_order,
    train_and_save,
    training_collator,
)
from training.recipes.config import DistillConfig, add_config_arguments
from training.recipes.resumable_trainer import ResumableTrainerMixin
from training.runtime import distributed
from training.runtime.distributed import print_once


class DistillTrainer(ResumableTrainerMixin, Trainer):
    """Transformers' trainer whose batches are records, and whose loss is the mean divergence a sampled token.

    collator: words the student's questions. vocabulary: ids that student and teacher share. beta: see `divergence`.
    off_policy: share of the steps in which the teacher reads the records' own summaries. loop_tokens: what an answer
    says again, this many tokens of it, does not count; 0 counts all. steps_per_rollout: steps whose recordings are
    answered at once, with the weights of the first. excluded: ids that mean something else to each and do not count.
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
        self.model_accepts_loss_kwargs = False  # a batch's mean is its loss; accumulated ones are averaged
        self._metrics: dict[str, list[float]] = defaultdict(list)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        records, questions = inputs["records"], inputs["questions"]
        given_words = self._is_off_policy_step(self.state.global_step)
        writer: Rollout = self.references if given_words else self.rollout
        with self.accelerator.autocast():
            written = inputs.get("answers") or writer.sample(self.accelerator.unwrap_model(model), records, questions)
            answers = (
                [truncate_at_loop(answer, self.loop_tokens) for answer in written] if self.loop_tokens else written
            )
            wanted = self.teacher.read(records, answers)
        given = append_answers(questions, answers, self.collator.tokenizer.pad_token_id)
        logits = answer_logits(model, given, answers)
        away = divergence(logits[:, : self.vocabulary], wanted, self.beta, excluded_ids=self.excluded_ids)
        counts = countable_tokens(away, answers, self.excluded_ids)
        # The mean over the tokens of all processes: their gradients, and what they note, are averaged.
        tokens = self.accelerator.reduce(counts.float().sum(), "mean").clamp_min(1)
        loss = (away * counts).sum() / tokens
        if given_words:
            self._metrics["divergence_of_references"].append(float(loss.detach()))
        else:
            self._record_metrics(written, float(loss.detach()), off_policy_gap(logits, answers))
        return (loss, {}) if return_outputs else loss

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """The step's batches; where several steps share a rollout, taken out of those that were answered together."""
        if self.steps_per_rollout == 1:
            return super().get_batch_samples(epoch_iterator, num_batches, device)
        if not self._pending_batches:
            several, _ = super().get_batch_samples(epoch_iterator, num_batches * self.steps_per_rollout, device)
            self._pending_batches = self._add_answers(several, num_batches)
        now, self._pending_batches = self._pending_batches[:num_batches], self._pending_batches[num_batches:]
        return now, None

    def _add_answers(self, batches: list[Any], a_step: int) -> list[Any]:
        """The batches with the student's answers, but for those of steps that read the data's summaries."""
        first = self.state.global_step
        asked = [b for i, b in enumerate(batches) if not self._is_off_policy_step(first + i // a_step)]
        if asked:
            records = [record for batch in asked for record in batch["records"]]
            questions = concatenate_questions(
                [batch["questions"] for batch in asked], self.collator.tokenizer.pad_token_id
            )
            with self.accelerator.autocast():
                written = iter(self.rollout.sample(self.accelerator.unwrap_model(self.model), records, questions))
            for batch in asked:
                batch["answers"] = list(islice(written, len(batch["records"])))
        return batches

    def _is_off_policy_step(self, step: int) -> bool:
        """By the step alone: all processes must choose alike, and a run that goes on as it would have."""
        return Random(f"{self.args.seed} {step}").random() < self.off_policy_share

    def _record_metrics(self, answers: Sequence[Answer], loss: float, off: float | None) -> None:
        texts = [self.collator.decode_answer(answer.ids) for answer in answers]
        noted: dict[str, Sequence[float]] = {
            "divergence": [loss],
            "answer_tokens": [len(answer.ids) for answer in answers],
            "clipped": [not answer.is_complete for answer in answers],
            "repetition": [repetition_rate(text) for text in texts],
            **({} if off is None else {"off_policy": [off]}),
        }
        for name, values in noted.items():
            self._metrics[name].append(sum(values) / len(values))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """With the means, over all processes, of what was noted since the last line."""
        own = torch.tensor([sum(values) / len(values) for values in self._metrics.values()], device=self.args.device)
        means = self.accelerator.reduce(own, "mean").tolist() if self._metrics else []
        logs = logs | {name: round(value, 4) for name, value in zip(self._metrics, means, strict=True)}
        self._metrics.clear()
        super().log(logs, start_time)


def countable_tokens(away: torch.Tensor, answers: Sequence[Answer], excluded_ids: Sequence[int]) -> torch.Tensor:
    """Which of the answers' tokens count, as (positions,) bool beside `away`: not those that mean something else to the
    teacher, which answers hold only where they were not sampled here.
    """
    said = torch.tensor([token for answer in answers for token in answer.ids], device=away.device)
    return ~torch.isin(said, torch.tensor(list(excluded_ids), dtype=torch.long, device=away.device))


def question_batch(collator: Collator, records: Sequence[Record]) -> dict[str, Any]:
    """Return a batch: `records`, a list, and `questions`, their encoded prompts (`collate_questions`).

    It is the data loader's collator, because decoding audio takes time: `--dataloader-num-workers` processes do it.
    """
    return {"records": list(records), "questions": collate_questions(collator, records)}


def train(base: Path, records: list[Record], out: Path, config: DistillConfig) -> Path:
    """Distill the teacher into the base checkpoint, write the adapter into the folder `out`, and return its file.

    Raises ValueError for a teacher or a configuration that cannot be used, and UnusableRecord for such data.
    """
    reader = Family().set_end_token(AutoTokenizer.from_pretrained(config.teacher))
    reads = TextCollator(reader)
    if difference := token_difference(family_of_folder(base).tokenizer(base), reader):
        return _train_on_teacher_texts(base, records, out, config, reads, difference)
    model = open_configured_student(base, config)
    plain = build_collator(base, model)
    answers = ("summary",) if config.off_policy_share else ()
    records, config, data = check_training_data(config, records, [plain, reads], answers=answers)
    collator = training_collator(config, model, plain, records)
    shared = shared_tokens(collator.tokenizer, reader)
    if shared.excluded_ids:
        ids = list(shared.excluded_ids)
        print_once(f"{len(ids)} special tokens differ between student and teacher and do not count: ids {ids}")
    # Opened before TrainingArguments are made: once they say that parameters are sharded, so would be the teacher's.
    teacher = _open_configured_teacher(config, reads, shared)
    if config.gradient_checkpointing:
        model.enable_input_require_grads()  # TRL's trainers do the same for the other recipes
    if config.rollout and distributed.world_size() > 1:
        raise ValueError(
            "--rollout sends a server the weights of one process; without it, each of several processes samples itself"
        )
    rollout = make_rollout(
        collator,
        config.temperature,
        config.rollout,
        config.rollout_folder,
        precision.uses_bfloat16(config.precision),
        all_processes=True,
        max_answer_tokens=config.max_completion_length,
        use_merged_copy=config.rollout_copy,
        forbidden_ids=forbidden_ids(collator.placeholder_ids, shared),
    )
    sync = [WeightSyncCallback(rollout, model, config.sync_every)] if isinstance(rollout, VllmRollout) else []
    trainer = DistillTrainer(
        model,
        TrainingArguments(**config.training_arguments(out)),
        train_dataset=records_in_training_order(records, config),
        callbacks=[*build_callbacks(config, model, collator, records, out), *sync],
        collator=collator,
        rollout=rollout,
        teacher=teacher,
        vocabulary=shared.size,
        excluded_ids=shared.excluded_ids,
        beta=config.beta,
        off_policy_share=config.off_policy_share,
        loop_tokens=config.loop_tokens,
        steps_per_rollout=config.steps_per_rollout,
    )
    keep_row_order(trainer)
    torch.manual_seed(config.seed + distributed.rank())  # each process draws other answers
    return train_and_save(trainer, model, out, config, _log_header(config, shared) | data)


def _train_on_teacher_texts(
    base: Path, records: list[Record], out: Path, config: DistillConfig, reads: TextCollator, difference: str
) -> Path:
    """Train by `sft` on the teacher's own summaries, because the token ids of student and teacher differ."""
    print_once(f"sequence-level: {difference}")
    records, config, _ = check_training_data(config, records, [reads], answers=(), audio=True)
    writer: TeacherWriter
    if config.teacher_url:
        writer = ServedTeacherWriter.connect(config.teacher_url)
    else:
        writer = LocalTeacherWriter(open_teacher(config.teacher, _teacher_dtype(config)), reads)
    with_summaries = teacher_summaries(writer, records, config.per_device_train_batch_size)
    if distributed.is_main_process():
        write_records(out / "told.jsonl", with_summaries)
    header = {"level": "sequence", "why": difference, "teacher": config.teacher_url or str(config.teacher)}
    return sft.train(base, with_summaries, out, config, header)


def _open_configured_teacher(config: DistillConfig, reads: TextCollator, shared: SharedTokens) -> Teacher:
    if config.teacher_url:
        return VllmTeacher.connect(config.teacher_url, reads, shared.size, config.top_k, shared.excluded_ids)
    return LocalTeacher(open_teacher(config.teacher, _teacher_dtype(config)), reads, shared.size, shared.excluded_ids)


def _teacher_dtype(config: DistillConfig) -> torch.dtype:
    on_gpu = precision.uses_bfloat16(config.precision) and torch.cuda.is_available()
    return torch.bfloat16 if on_gpu else torch.float32


def _log_header(config: DistillConfig, shared: SharedTokens) -> dict[str, Any]:
    header: dict[str, Any] = {
        "level": "tokens",
        "teacher": config.teacher_url or str(config.teacher),
        "beta": config.beta,
        "temperature": config.temperature,
        "off_policy_share": config.off_policy_share,
        "loop_tokens": config.loop_tokens,
        "answer_tokens": config.max_completion_length,
    }
    if config.steps_per_rollout > 1:
        header |= {"steps_per_rollout": config.steps_per_rollout}
    if shared.excluded_ids:
        header |= {"excluded_tokens": list(shared.excluded_ids)}
    if config.rollout:
        header |= {"rollout": config.rollout, "sync_every": config.sync_every}
    return header


def teacher_summaries(writer: TeacherWriter, records: list[Record], batch: int) -> list[Record]:
    """The records with the teacher's own summaries, greedy; those it leaves empty or without an end are left out, and
    said to be.
    """
    out = []
    for first in range(0, len(records), batch):
        group = records[first : first + batch]
        for record, (text, ended) in zip(group, writer.write(group), strict=True):
            if ended and text:
                out.append(replace(record, summary=text))
    print_once(f"the teacher wrote {len(out)} summaries; {len(records) - len(out)} were empty or had no end")
    if not out:
        raise ValueError("the teacher wrote no summary that could be learned from")
    return out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe's options."""
    parser.add_argument("--base", type=Path, required=True, help="Assembled audio checkpoint to start from.")
    common.add_arguments(parser, max_steps=300, learning_rate=1e-4, logging_steps=1)
    add_config_arguments(parser, DistillConfig)
    vllm_rollout.add_arguments(parser)
    vllm_rollout.add_rollout_copy_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the `distill` command."""
    records, config = records_and_config(options, DistillConfig)
    print_once(str(train(options.base, records, options.out, config)))
    return 0
