"""From records to what a model is trained on: prompt and answer tokens, and for models that hear, the mel windows.

Two collators with one rule: the prompt is worded by `app.prompts` and rendered by the checkpoint's own chat template,
exactly as the service does, and only the answer (its end-of-turn token included) is in the labels. Truncation is an
error here, never a silent cut. Knows nothing about optimizers.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from app.prompts import audio_messages, transcript_messages
from training.corpus.record import Record

IGNORED = -100
SAMPLING_RATE = 16_000


class BadExample(ValueError):
    """A record that cannot be trained on; the message names it and says why."""


def read_records(*files: Path) -> list[Record]:
    """Every record of the JSONL files, audio paths made absolute. Raises `BadExample` with file and line."""
    records = []
    for file in files:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            try:
                record = Record.from_json(line)
            except (ValueError, KeyError, TypeError) as error:
                raise BadExample(f"{file}, line {number}: not a record: {error}") from error
            if record.audio:
                record.audio = str(file.parent / record.audio)
            records.append(record)
    return records


def write_records(file: Path, records: Iterable[Record]) -> None:
    """The records as JSONL, their audio by its absolute path: paths in a data file are relative to it, and this one may
    lie elsewhere than where they came from.
    """
    rows = (replace(r, audio=str(Path(r.audio).resolve())) if r.audio else r for r in records)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(row.to_json() + "\n" for row in rows))


def with_other_audio(records: Sequence[Record]) -> list[Record]:
    """Each record with the next one's audio: what is said then has nothing to do with what is asked for."""
    return [replace(r, audio=o.audio) for r, o in zip(records, [*records[1:], *records[:1]], strict=True)]


def read_audio(record: Record) -> NDArray[np.float32]:
    """The record's samples, float32 mono at 16 kHz. Raises `BadExample`."""
    if not record.audio:
        raise BadExample(f"{record.id}: has no audio")
    try:
        samples, rate = soundfile.read(record.audio, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise BadExample(f"{record.id}: {record.audio} cannot be read: {error}") from error
    if rate != SAMPLING_RATE or samples.ndim != 1:
        raise BadExample(f"{record.id}: {record.audio} is not 16 kHz mono")
    if not np.isfinite(samples).all():
        raise BadExample(f"{record.id}: {record.audio} holds samples that are not finite")
    return samples


class Collator(ABC):
    """Records → batches. What a record asks is a `question`; its answer follows, and only the answer has labels."""

    tokenizer: Any
    max_tokens: int

    @property
    def placeholders(self) -> list[int]:
        """Ids that stand for something other than text, which no answer may hold."""
        return []

    def text(self, ids: Sequence[int]) -> str:
        """An answer's tokens in words."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    @abstractmethod
    def question(self, record: Record) -> tuple[list[int], dict[str, torch.Tensor]]:
        """Prompt ids up to where the answer begins, and what else the model is given. Raises `BadExample`."""

    def answer(self, record: Record) -> list[int]:
        """Tokens of the summary and the end of turn. Raises `BadExample`."""
        if not record.summary.strip():
            raise BadExample(f"{record.id}: the summary is empty")
        return [*self.tokenizer(record.summary, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id]

    def __call__(self, records: Sequence[Any]) -> dict[str, torch.Tensor]:
        rows = [_record(r) for r in records]
        pairs, others = [], []
        for row in rows:
            ids, other = self.question(row)
            answer = self.answer(row)
            if len(ids) + len(answer) > self.max_tokens:
                raise BadExample(f"{row.id}: {len(ids) + len(answer)} tokens, the model takes {self.max_tokens}")
            pairs.append((ids, answer))
            others.append(other)
        return pad(pairs, self.tokenizer.pad_token_id) | joined(others)

    def questions(self, records: Sequence[Record], room: int = 0) -> dict[str, torch.Tensor]:
        """Prompts alone, padded left, so that answers written after them stand in the same columns.

        `input_ids`, `attention_mask` (batch, longest), and what else the model is given. room: tokens the answer may
        take; a question that leaves less raises `BadExample`. No summary is needed.
        """
        asked = [self.question(record) for record in records]
        longest = max(len(ids) for ids, _ in asked)
        ids = torch.full((len(asked), longest), self.tokenizer.pad_token_id)
        mask = torch.zeros((len(asked), longest), dtype=torch.long)
        for row, (record, (question, _)) in enumerate(zip(records, asked, strict=True)):
            if len(question) + room > self.max_tokens:
                raise BadExample(f"{record.id}: {len(question)} tokens leave no room for {room} in {self.max_tokens}")
            ids[row, longest - len(question) :] = torch.tensor(question)
            mask[row, longest - len(question) :] = 1
        return {"input_ids": ids, "attention_mask": mask} | joined([other for _, other in asked])


@dataclass
class TextCollator(Collator):
    """Batches for the text twin: transcript and instruction in, summary out.

    tokenizer: the checkpoint's. max_tokens: longest prompt and answer together; a longer record raises `BadExample`.
    """

    tokenizer: Any
    max_tokens: int = 8192

    def prompt(self, record: Record) -> str:
        """The rendered prompt."""
        messages = transcript_messages(record.query, record.transcript)
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def question(self, record: Record) -> tuple[list[int], dict[str, torch.Tensor]]:
        return self.tokenizer(self.prompt(record), add_special_tokens=False)["input_ids"], {}


@dataclass
class AudioCollator(Collator):
    """Batches for models that hear: the processor's mel windows and placeholders, instruction, summary.

    processor: the checkpoint's. audio_token_id: its placeholder. max_tokens as above, audio positions counted.
    """

    processor: Any
    audio_token_id: int
    max_tokens: int = 8192

    @property
    def tokenizer(self) -> Any:  # type: ignore[override]
        """The processor's."""
        return self.processor.tokenizer

    @property
    def placeholders(self) -> list[int]:
        return [self.audio_token_id]

    def prompt(self, record: Record) -> str:
        """The rendered prompt with one placeholder, as the engine gets it."""
        messages = audio_messages(record.query)
        return str(self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def question(self, record: Record) -> tuple[list[int], dict[str, torch.Tensor]]:
        samples = read_audio(record)
        if len(samples) > self.processor.max_audio_len * SAMPLING_RATE:
            seconds = len(samples) / SAMPLING_RATE
            raise BadExample(f"{record.id}: {seconds:.1f} s of audio, the model takes {self.processor.max_audio_len} s")
        if (prompt := self.prompt(record)).count(self.processor.audio_token) != 1:
            raise BadExample(f"{record.id}: the query holds the audio placeholder")
        one = self.processor(text=[prompt], audio=[samples])
        ids = one["input_ids"][0].tolist()
        if self.audio_token_id not in ids:
            raise BadExample(f"{record.id}: {len(samples)} samples of audio are too few for one encoder frame")
        return ids, {name: one[name] for name in ("input_features", "input_features_mask")}

    def answer(self, record: Record) -> list[int]:
        ids = super().answer(record)
        if self.audio_token_id in ids:
            raise BadExample(f"{record.id}: the summary holds the audio placeholder")
        return ids


def joined(others: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The tensors of every row, one after the other: a long recording has several windows."""
    return {name: torch.cat([other[name] for other in others]) for name in others[0]}


def pad(pairs: Sequence[tuple[list[int], list[int]]], pad_id: int) -> dict[str, torch.Tensor]:
    """`input_ids`, `attention_mask`, `labels` of shape (batch, longest), padded right; labels on answers only."""
    longest = max(len(prompt) + len(answer) for prompt, answer in pairs)
    ids = torch.full((len(pairs), longest), pad_id)
    mask = torch.zeros((len(pairs), longest), dtype=torch.long)
    labels = torch.full((len(pairs), longest), IGNORED)
    for row, (prompt, answer) in enumerate(pairs):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor(prompt + answer)
        mask[row, :end] = 1
        labels[row, len(prompt) : end] = torch.tensor(answer)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _record(row: Any) -> Record:
    return row if isinstance(row, Record) else Record.from_json(row["record"])
