"""On-policy knowledge distillation: the student hears and writes, the teacher reads and says how it would have gone on.

    speechsum-train distill --base var/aligned --start var/runs/sft/adapter.safetensors --teacher var/text-twin \\
        --data var/data/speech/records.jsonl --out var/runs/distill

Stage two of arXiv 2509.19631. At every step the student answers recordings by sampling; the teacher, given the true
transcript and the same query, gives its distribution at each token of that answer; the student's is moved towards it
(`--beta` 0 is forward KL on the student's own prefixes, as the paper reads; 1 is reverse KL). No gradient goes through
the sampling, and no reference summary is read. What is trained is what `sft` trains: projector and LoRA.

The teacher is a text model in this process, or with `--teacher-url` the same one behind a vLLM server, of which the
`--top-k` likeliest tokens are known and the rest is one bucket.

If the teacher's tokens are not the student's, their distributions cannot be compared: then the teacher's texts become
the summaries and `sft` learns them (sequence-level distillation), and the log's first line says so and why.

Logged each step: divergence, tokens an answer, share of answers that met their limit, repetition. The last two are how
this method is known to fail. Limits: one process; the mel windows of a batch are made twice, to sample and to learn.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import torch
from transformers import AutoTokenizer, Trainer, TrainingArguments

from training import loop, sft
from training.checkpoint import open_model
from training.corpus.record import Record
from training.examples import Collator, TextCollator, write_records
from training.facts import repetition_rate
from training.kd.divergence import divergence
from training.kd.rollout import Answer, Generated, Rollout, answer_logits, followed_by
from training.kd.teacher import LocalTeacher, ServedTeacher, Teacher
from training.kd.tokens import same_tokens, shared_range
from training.loop import Loop, Resumable, by_length, collator_of, finish, loop_of, take_in_order

TIMEOUT_S = 600


class DistillTrainer(Resumable, Trainer):
    """Transformers' trainer whose batches are records, and whose loss is the mean divergence a sampled token.

    collator: words the student's questions. vocabulary: ids that student and teacher share. beta: see `divergence`.
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
        **more: Any,
    ) -> None:
        super().__init__(model, args, data_collator=_records, **more)
        self.collator, self.rollout, self.teacher = collator, rollout, teacher
        self.vocabulary, self.beta = vocabulary, beta
        self.model_accepts_loss_kwargs = False  # a batch's mean is its loss; accumulated ones are averaged
        self._seen: dict[str, list[float]] = defaultdict(list)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        records = inputs["records"]
        with self.accelerator.autocast():
            answers = self.rollout.sample(self.accelerator.unwrap_model(model), records)
            wanted = self.teacher.read(records, answers)
        longest = max(len(answer.ids) for answer in answers)
        given = followed_by(self.collator.questions(records, longest), answers, self.collator.tokenizer.pad_token_id)
        away = divergence(answer_logits(model, given, answers)[:, : self.vocabulary], wanted, self.beta)
        self._note(answers, away)
        loss = away.mean()
        return (loss, {}) if return_outputs else loss

    def _note(self, answers: Sequence[Answer], away: torch.Tensor) -> None:
        texts = [self.collator.text(answer.ids) for answer in answers]
        for name, values in {
            "divergence": away.tolist(),
            "answer_tokens": [len(answer.ids) for answer in answers],
            "clipped": [not answer.ended for answer in answers],
            "repetition": [repetition_rate(text) for text in texts],
        }.items():
            self._seen[name].append(sum(values) / len(values))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """With the means of what was noted since the last line."""
        means = {name: round(sum(values) / len(values), 4) for name, values in self._seen.items()}
        self._seen.clear()
        super().log(logs | means, start_time)


def _records(rows: Sequence[Any]) -> dict[str, list[Record]]:
    return {"records": [Record.from_json(row["record"]) for row in rows]}


def train(
    base: Path,
    teacher: Path,
    records: list[Record],
    out: Path,
    how: Loop,
    *,
    url: str | None = None,
    top_k: int = 20,
    beta: float = 0.0,
    temperature: float = 1.0,
) -> Path:
    """Distil and write the adapter; returns its file. Raises ValueError for a beta or a teacher that cannot be used.

    teacher: a text model's folder. url: of a vLLM server that serves it; only its tokenizer is then read here.
    """
    reader = AutoTokenizer.from_pretrained(teacher)
    if difference := same_tokens(AutoTokenizer.from_pretrained(base), reader):
        print(f"sequence-level: {difference}", flush=True)
        taught = told(_opened(teacher), TextCollator(reader), records, how.batch)
        write_records(out / "told.jsonl", taught)
        return sft.train(base, taught, out, how, {"level": "sequence", "why": difference, "teacher": str(teacher)})
    model = how.student(base)
    collator = collator_of(base, model)
    vocabulary = shared_range(collator.tokenizer, reader)
    trainer = DistillTrainer(
        model,
        TrainingArguments(**how.arguments(out)),
        train_dataset=by_length(records, how.batch, how.seed),
        callbacks=how.callbacks(model, collator, records, out),
        collator=collator,
        rollout=Generated(collator, temperature, collator.placeholders),
        teacher=(
            served(url, TextCollator(reader), vocabulary, top_k)
            if url
            else LocalTeacher(_opened(teacher), TextCollator(reader), vocabulary)
        ),
        vocabulary=vocabulary,
        beta=beta,
    )
    head = {"level": "tokens", "teacher": url or str(teacher), "beta": beta, "temperature": temperature}
    take_in_order(trainer)
    return finish(trainer, model, out, how, head)


def _opened(teacher: Path) -> Any:
    model = open_model(teacher).eval().requires_grad_(False)
    return model.to("cuda") if torch.cuda.is_available() else model


def served(url: str, collator: TextCollator, vocabulary: int, top_k: int) -> ServedTeacher:
    """The teacher behind a vLLM server, whatever name it has there."""
    client = httpx.Client(base_url=url, timeout=TIMEOUT_S)
    name = client.get("/v1/models").raise_for_status().json()["data"][0]["id"]
    return ServedTeacher(client, name, collator, vocabulary, top_k)


def told(model: Any, collator: TextCollator, records: list[Record], batch: int) -> list[Record]:
    """The records with the teacher's own summaries, greedy; those it leaves empty or without an end are left out, and
    said to be.
    """
    writer, out = Generated(collator, temperature=0), []
    for first in range(0, len(records), batch):
        group = records[first : first + batch]
        for record, answer in zip(group, writer.sample(model, group), strict=True):
            text = collator.text(answer.ids)
            if answer.ended and text:
                out.append(replace(record, summary=text))
    print(f"the teacher wrote {len(out)} summaries; {len(records) - len(out)} were empty or had no end", flush=True)
    if not out:
        raise ValueError("the teacher wrote no summary that could be learned from")
    return out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The recipe's options."""
    parser.add_argument("--base", type=Path, required=True, help="assembled audio checkpoint to start from")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of a text model, such as the text twin")
    parser.add_argument("--teacher-url", help="vLLM server of that model; without it the model is loaded here")
    parser.add_argument("--top-k", type=int, default=20, help="tokens a position to ask the server for")
    loop.add_arguments(parser, steps=300, rate=1e-4, log_every=1)
    parser.add_argument("--beta", type=float, default=0.0, help="0 is forward KL, 1 reverse KL")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the student's sampling; 0 is greedy")


def run(options: argparse.Namespace) -> int:
    """The `distill` command."""
    records, how = loop_of(options)
    names = {"url": "teacher_url", "top_k": "top_k", "beta": "beta", "temperature": "temperature"}
    settings = {name: getattr(options, option) for name, option in names.items()}
    print(train(options.base, options.teacher, records, options.out, how, **settings))
    return 0
