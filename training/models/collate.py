"""From records to what a model is trained on: prompt and answer tokens, and for models that hear, the mel windows.

Two collators with one rule: the prompt is worded by `app.core.prompts` and rendered by the checkpoint's own chat
template, exactly as the service does, and only the answer (its end-of-turn token included) is in the labels. Truncation
is an error here, never a silent cut. Knows nothing about optimizers.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from app.core.prompts import transcript_messages
from training.data.audio import audio_key, read_audio
from training.data.record import Record
from training.data.record_files import UnusableRecord
from training.families import Family, family_by_model_type
from training.families.audioflamingo3 import AudioFlamingo3
from training.families.base import InvalidQuestion
from training.models.checkpoint import model_type_of
from training.models.recovery_labels import recovery_labels

IGNORE_INDEX = -100


def shuffle_audio(records: Sequence[Record]) -> list[Record]:
    """Each record with the audio of the next one that has another: what is said then has nothing to do with what is
    asked for, even where several records ask about one recording. Raises `BadExample` if all have the same.
    """
    out = []
    for place, record in enumerate(records):
        mine = audio_key(record)
        after = (records[(place + step) % len(records)] for step in range(1, len(records)))
        other = next((o for o in after if audio_key(o) != mine), None)
        if other is None:
            raise UnusableRecord(f"{record.id}: no other recording is there to lend it audio")
        out.append(replace(record, audio=other.audio, start=other.start, end=other.end))
    return out


class Collator(ABC):
    """Records → batches. What a record asks is a `question`; its answer follows, and only the answer has labels."""

    tokenizer: Any
    max_tokens: int
    takes_audio = False

    @property
    def placeholder_ids(self) -> list[int]:
        """Ids that stand for something other than text, which no answer may hold."""
        return []

    @property
    def control_tokens(self) -> list[str]:
        """The tokenizer's own marks, such as the one that ends a turn, which no text to learn from may hold. Tokens
        that were added to stand for plain text (several spaces in a row, a word) are none.
        """
        try:
            added = self.tokenizer.get_added_vocab()
        except (AttributeError, NotImplementedError):  # Mistral's, which reads no text as a control token
            added = {}
        known = {*self.tokenizer.all_special_tokens, *added}
        return sorted(token for token in known if len(token) > 2 and token[0] in "<[" and token[-1] in ">]")

    def join_inputs(self, others: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """What else the model is given, of all rows."""
        return {}

    @property
    def max_audio_seconds(self) -> float:
        """Seconds of audio that a question may hold."""
        return float("inf")

    def question_token_count(self, record: Record) -> int:
        """Tokens of the question, all but what stands for audio. Raises `BadExample`."""
        return len(self.encode_question(record)[0])

    def decode_answer(self, ids: Sequence[int]) -> str:
        """An answer's tokens in words."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    @abstractmethod
    def encode_question(self, record: Record) -> tuple[list[int], dict[str, torch.Tensor]]:
        """Prompt ids up to where the answer begins, and what else the model is given. Raises `BadExample`."""

    def encode_answer(self, record: Record) -> list[int]:
        """Tokens of the summary and the end of turn. Raises `BadExample`."""
        if not record.summary.strip():
            raise UnusableRecord(f"{record.id}: the summary is empty", "empty answer")
        return [*self.tokenizer(record.summary, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id]

    def __call__(self, records: Sequence[Any]) -> dict[str, torch.Tensor]:
        rows = [_as_record(r) for r in records]
        examples, others = [], []
        for row in rows:
            ids, other = self.encode_question(row)
            answer = wanted = self.encode_answer(row)
            if row.written:
                answer = self.encode_answer(replace(row, summary=row.written))
                wanted = [IGNORE_INDEX if label is None else label for label in recovery_labels(answer, wanted)]
            if len(ids) + len(answer) > self.max_tokens:
                raise UnusableRecord(f"{row.id}: {len(ids) + len(answer)} tokens, the model takes {self.max_tokens}")
            examples.append((ids, answer, wanted))
            others.append(other)
        return pad_batch(examples, self.tokenizer.pad_token_id) | self.join_inputs(others)

    def collate_questions(self, records: Sequence[Record], room: int = 0) -> dict[str, torch.Tensor]:
        """Prompts alone, padded left, so that answers written after them stand in the same columns.

        `input_ids`, `attention_mask` (batch, longest), and what else the model is given. room: tokens the answer may
        take; a question that leaves less raises `BadExample`. No summary is needed.
        """
        asked = [self.encode_question(record) for record in records]
        longest = max(len(ids) for ids, _ in asked)
        ids = torch.full((len(asked), longest), self.tokenizer.pad_token_id)
        mask = torch.zeros((len(asked), longest), dtype=torch.long)
        for row, (record, (question, _)) in enumerate(zip(records, asked, strict=True)):
            if len(question) + room > self.max_tokens:
                raise UnusableRecord(
                    f"{record.id}: {len(question)} tokens leave no room for {room} in {self.max_tokens}"
                )
            ids[row, longest - len(question) :] = torch.tensor(question)
            mask[row, longest - len(question) :] = 1
        return {"input_ids": ids, "attention_mask": mask} | self.join_inputs([other for _, other in asked])


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

    def encode_question(self, record: Record) -> tuple[list[int], dict[str, torch.Tensor]]:
        if not record.transcript.strip():
            raise UnusableRecord(f"{record.id}: has no transcript to read", "no transcript")
        # as tokens at once: what Mistral's tokenizer renders it does not read back
        asked = self.tokenizer.apply_chat_template(
            transcript_messages(record.query, record.transcript), add_generation_prompt=True, return_dict=True
        )
        return list(asked["input_ids"]), {}


@dataclass
class AudioCollator(Collator):
    """Batches for models that hear: what the processor makes of the audio, placeholders, instruction, summary.

    processor: the checkpoint's. audio_token_id: its placeholder. max_tokens as above, audio positions counted. family:
    how such a model is asked. checkpoint: its folder, where that is known.
    """

    processor: Any
    audio_token_id: int
    max_tokens: int = 8192
    family: Family = field(default_factory=AudioFlamingo3)
    checkpoint_folder: Path | None = None
    takes_audio = True

    @property
    def max_audio_seconds(self) -> float:
        return self.family.max_audio_seconds(self.processor)

    def question_token_count(self, record: Record) -> int:
        if self.audio_token_id in self.tokenizer(record.query, add_special_tokens=False)["input_ids"]:
            raise UnusableRecord(f"{record.id}: the query holds the audio placeholder", "placeholder")
        return len(self.tokenizer(self.prompt(record), add_special_tokens=False)["input_ids"])

    @property
    def tokenizer(self) -> Any:
        """The processor's."""
        return self.processor.tokenizer

    @property
    def placeholder_ids(self) -> list[int]:
        return [self.audio_token_id]

    def prompt(self, record: Record) -> str:
        """The rendered prompt with one placeholder, as the engine gets it."""
        return self.family.prompt(self.processor, record.query)

    def encode_question(self, record: Record) -> tuple[list[int], dict[str, torch.Tensor]]:
        samples = read_audio(record)
        try:
            return self.family.encode_question(self.processor, record.query, samples)
        except InvalidQuestion as error:
            raise UnusableRecord(f"{record.id}: {error}", error.reason) from error

    def encode_answer(self, record: Record) -> list[int]:
        ids = super().encode_answer(record)
        if self.audio_token_id in ids:
            raise UnusableRecord(f"{record.id}: the summary holds the audio placeholder", "placeholder")
        return ids

    def join_inputs(self, others: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        return self.family.join_inputs(others)


def build_collator(base: Path, model: Any) -> Collator:
    """Return the collator for a model and its checkpoint folder: an `AudioCollator` for a model that hears, or else a
    `TextCollator`. Its `max_tokens` is the number of positions that the model has.
    """
    family = family_by_model_type(model_type_of(model))
    positions = model.config.get_text_config().max_position_embeddings
    if not family.takes_audio:
        return TextCollator(family.tokenizer(base), positions)
    processor = family.processor(base)
    return AudioCollator(processor, family.placeholder_id(processor), positions, family, base)


def pad_batch(examples: Sequence[tuple[list[int], list[int], list[int]]], pad_id: int) -> dict[str, torch.Tensor]:
    """`input_ids`, `attention_mask`, `labels` of shape (batch, longest), padded right; labels on answers only.

    examples: of each the prompt, the answer, and as many labels as that has tokens: the answer itself, as a rule.
    """
    longest = max(len(prompt) + len(answer) for prompt, answer, _ in examples)
    ids = torch.full((len(examples), longest), pad_id)
    mask = torch.zeros((len(examples), longest), dtype=torch.long)
    labels = torch.full((len(examples), longest), IGNORE_INDEX)
    for row, (prompt, answer, wanted) in enumerate(examples):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor(prompt + answer)
        mask[row, :end] = 1
        labels[row, len(prompt) : end] = torch.tensor(wanted)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _as_record(row: Any) -> Record:
    return row if isinstance(row, Record) else Record.from_json(row["record"])
