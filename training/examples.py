"""From records to what a model is trained on: prompt and answer tokens, and for models that hear, the mel windows.

Two collators with one rule: the prompt is worded by `app.prompts` and rendered by the checkpoint's own chat template,
exactly as the service does, and only the answer (its end-of-turn token included) is in the labels. Truncation is an
error here, never a silent cut. Knows nothing about optimizers.
"""

from collections.abc import Sequence
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


@dataclass
class TextCollator:
    """Batches for the text twin: transcript and instruction in, summary out.

    tokenizer: the checkpoint's. max_tokens: longest prompt and answer together; a longer record raises `BadExample`.
    """

    tokenizer: Any
    max_tokens: int = 8192

    def prompt(self, record: Record) -> str:
        """The rendered prompt."""
        messages = transcript_messages(record.query, record.transcript)
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def __call__(self, records: Sequence[Any]) -> dict[str, torch.Tensor]:
        rows = [_record(r) for r in records]
        pairs = [answer_pair(self.tokenizer, self.prompt(row), row, self.max_tokens) for row in rows]
        return pad(pairs, self.tokenizer.pad_token_id)


@dataclass
class AudioCollator:
    """Batches for models that hear: the processor's mel windows and placeholders, instruction, summary.

    processor: the checkpoint's. audio_token_id: its placeholder. max_tokens as above, audio positions counted.
    """

    processor: Any
    audio_token_id: int
    max_tokens: int = 8192

    def prompt(self, record: Record) -> str:
        """The rendered prompt with one placeholder, as the engine gets it."""
        messages = audio_messages(record.query)
        return str(self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def __call__(self, records: Sequence[Any]) -> dict[str, torch.Tensor]:
        rows = [_record(r) for r in records]
        tokenizer = self.processor.tokenizer
        pairs, features, masks = [], [], []
        for row in rows:
            samples = read_audio(row)
            if len(samples) > self.processor.max_audio_len * SAMPLING_RATE:
                seconds = len(samples) / SAMPLING_RATE
                raise BadExample(
                    f"{row.id}: {seconds:.1f} s of audio, the model takes {self.processor.max_audio_len} s"
                )
            if (prompt := self.prompt(row)).count(self.processor.audio_token) != 1:
                raise BadExample(f"{row.id}: the query holds the audio placeholder")
            one = self.processor(text=[prompt], audio=[samples])
            answer = answer_ids(tokenizer, row)
            if self.audio_token_id in answer:
                raise BadExample(f"{row.id}: the summary holds the audio placeholder")
            prompt_ids = one["input_ids"][0].tolist()
            if self.audio_token_id not in prompt_ids:
                raise BadExample(f"{row.id}: {len(samples)} samples of audio are too few for one encoder frame")
            if len(prompt_ids) + len(answer) > self.max_tokens:
                raise BadExample(f"{row.id}: {len(prompt_ids) + len(answer)} tokens, the model takes {self.max_tokens}")
            pairs.append((prompt_ids, answer))
            features.append(one["input_features"])
            masks.append(one["input_features_mask"])
        batch = pad(pairs, tokenizer.pad_token_id)
        return batch | {"input_features": torch.cat(features), "input_features_mask": torch.cat(masks)}


def answer_ids(tokenizer: Any, record: Record) -> list[int]:
    """Tokens of the summary and the end of turn."""
    if not record.summary.strip():
        raise BadExample(f"{record.id}: the summary is empty")
    return [*tokenizer(record.summary, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]


def answer_pair(tokenizer: Any, prompt: str, record: Record, max_tokens: int) -> tuple[list[int], list[int]]:
    """(prompt ids, answer ids). Raises `BadExample` if they are longer than `max_tokens` together."""
    ids, answer = tokenizer(prompt, add_special_tokens=False)["input_ids"], answer_ids(tokenizer, record)
    if len(ids) + len(answer) > max_tokens:
        raise BadExample(f"{record.id}: {len(ids) + len(answer)} tokens, the model takes {max_tokens}")
    return ids, answer


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
