"""Turns records into training batches: prompt and answer tokens, and for audio models mel windows.

Both collators have one rule: the prompt's text comes from `app.core.prompts` and is rendered by the checkpoint's own
chat template, exactly as in the service, and only the answer with its end of turn has labels. A record that is too long
is an error; nothing is ever cut. Knows nothing about optimizers.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from app.core.prompts import notes_messages, transcript_messages
from training.data.audio import audio_key, read_audio
from training.data.record import Record
from training.data.record_files import UnusableRecord
from training.families import Family, family_by_model_type
from training.families.audioflamingo3 import AudioFlamingo3
from training.families.base import InvalidQuestion
from training.models.checkpoint import model_type_of
from training.models.recovery_labels import recovery_labels

IGNORE_INDEX = -100
Example = tuple[list[int], list[int], list[int]]
"""A question's ids, its answer's ids, and the answer's labels. The last two have the same length."""


def shuffle_audio(records: Sequence[Record]) -> list[Record]:
    """Return each record with the audio of the next record that has another recording, so that the audio never belongs
    to the query, even if several records have the same recording. Raises UnusableRecord if all have the same.
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
    """Turns records into batches. A record's prompt is its *question*; its answer follows, and only the answer has
    labels.
    """

    tokenizer: Any
    max_tokens: int
    takes_audio = False

    @property
    def placeholder_ids(self) -> list[int]:
        """The token ids that do not stand for text, such as that of audio. No answer may have them."""
        return []

    @property
    def control_tokens(self) -> list[str]:
        """The tokenizer's control tokens, such as the end of a turn, which no text of a record may contain. Tokens that
        were added for plain text (several spaces in a row, a word) do not count.
        """
        try:
            added = self.tokenizer.get_added_vocab()
        except (AttributeError, NotImplementedError):  # Mistral's tokenizer, which takes no text for a control token
            added = {}
        known = {*self.tokenizer.all_special_tokens, *added}
        return sorted(token for token in known if len(token) > 2 and token[0] in "<[" and token[-1] in ">]")

    def join_inputs(self, others: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Return the model's further inputs (beside ids and masks) of all rows as one batch."""
        return {}

    @property
    def max_audio_seconds(self) -> float:
        """The longest audio of a question, in seconds."""
        return float("inf")

    def question_token_count(self, record: Record) -> int:
        """Return the number of the question's tokens without those for audio. Raises UnusableRecord."""
        return len(self.encode_question(record)[0])

    def decode_answer(self, ids: Sequence[int]) -> str:
        """Return the text of an answer's token ids."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    @abstractmethod
    def encode_question(self, record: Record) -> tuple[list[int], dict[str, torch.Tensor]]:
        """Return the ids of the prompt, up to where the answer begins, and the model's further inputs.

        Raises UnusableRecord for a record that the model cannot be asked about.
        """

    def encode_answer(self, record: Record) -> list[int]:
        """Return the ids of the summary and the end of turn. Raises UnusableRecord for an empty summary."""
        if not record.summary.strip():
            raise UnusableRecord(f"{record.id}: the summary is empty", "empty answer")
        return [*self.tokenizer(record.summary, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id]

    def __call__(self, records: Sequence[Any]) -> dict[str, torch.Tensor]:
        encoded = [self.encode_example(_as_record(r)) for r in records]
        examples, others = [example for example, _ in encoded], [other for _, other in encoded]
        return pad_batch(examples, self.tokenizer.pad_token_id) | self.join_inputs(others)

    def encode_example(self, record: Record) -> tuple[Example, dict[str, torch.Tensor]]:
        """Return the question's ids, the answer's ids and the answer's labels, and the model's further inputs.

        Raises UnusableRecord as `encode_question` and `encode_answer` do, and if the model has too few positions.
        """
        ids, other = self.encode_question(record)
        answer = wanted = self.encode_answer(record)
        if record.written:
            answer = self.encode_answer(replace(record, summary=record.written))
            wanted = [IGNORE_INDEX if label is None else label for label in recovery_labels(answer, wanted)]
        if len(ids) + len(answer) > self.max_tokens:
            raise UnusableRecord(f"{record.id}: {len(ids) + len(answer)} tokens, the model takes {self.max_tokens}")
        return (ids, answer, wanted), other

    def collate_questions(self, records: Sequence[Record], room: int = 0) -> dict[str, torch.Tensor]:
        """Return the prompts alone, padded on the left, so that answers after them begin in the same column.

        The batch has `input_ids` and `attention_mask` of shape (batch, longest), and the model's further inputs. No
        summary is needed. room: tokens that the answer may take. Raises UnusableRecord for a question that leaves less.
        """
        encoded = [self.encode_question(record) for record in records]
        longest = max(len(ids) for ids, _ in encoded)
        ids = torch.full((len(encoded), longest), self.tokenizer.pad_token_id)
        mask = torch.zeros((len(encoded), longest), dtype=torch.long)
        for row, (record, (question, _)) in enumerate(zip(records, encoded, strict=True)):
            if len(question) + room > self.max_tokens:
                raise UnusableRecord(
                    f"{record.id}: {len(question)} tokens leave no room for {room} in {self.max_tokens}"
                )
            ids[row, longest - len(question) :] = torch.tensor(question)
            mask[row, longest - len(question) :] = 1
        return {"input_ids": ids, "attention_mask": mask} | self.join_inputs([other for _, other in encoded])


@dataclass
class TextCollator(Collator):
    """Makes batches for a text twin, which reads the transcript and the query and writes the summary.

    Attributes:
        tokenizer: the checkpoint's.
        max_tokens: most tokens of prompt and answer together. A longer record raises UnusableRecord.
    """

    tokenizer: Any
    max_tokens: int = 8192

    def prompt(self, record: Record) -> str:
        """Return the rendered prompt."""
        messages = transcript_messages(record.query, record.transcript)
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def encode_question(self, record: Record) -> tuple[list[int], dict[str, torch.Tensor]]:
        """Return the ids of the prompt with the transcript; there are no further inputs. Raises UnusableRecord without
        a transcript.
        """
        if record.notes.strip():
            messages = notes_messages(record.query, record.notes)
        elif record.transcript.strip():
            messages = transcript_messages(record.query, record.transcript)
        else:
            raise UnusableRecord(f"{record.id}: has no transcript to read", "no transcript")
        # Rendered to tokens directly: Mistral's tokenizer does not tokenize the text that it renders.
        encoded = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        return list(encoded["input_ids"]), {}


@dataclass
class AudioCollator(Collator):
    """Makes batches for audio models: the processor's audio features, placeholders, the query, the summary.

    Attributes:
        processor: the checkpoint's.
        audio_token_id: id of the audio placeholder.
        max_tokens: most tokens of prompt and answer together, positions of audio included.
        family: builds the prompt and the model's inputs.
        checkpoint_folder: the checkpoint's folder, if it is known.
    """

    processor: Any
    audio_token_id: int
    max_tokens: int = 8192
    family: Family = field(default_factory=AudioFlamingo3)
    checkpoint_folder: Path | None = None
    takes_audio = True

    @property
    def max_audio_seconds(self) -> float:
        """The longest audio of a question, in seconds."""
        return self.family.max_audio_seconds(self.processor)

    def question_token_count(self, record: Record) -> int:
        """Return the number of the question's tokens without those for audio. Raises UnusableRecord."""
        if self.audio_token_id in self.tokenizer(record.query, add_special_tokens=False)["input_ids"]:
            raise UnusableRecord(f"{record.id}: the query holds the audio placeholder", "placeholder")
        return len(self.tokenizer(self.prompt(record), add_special_tokens=False)["input_ids"])

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    @property
    def placeholder_ids(self) -> list[int]:
        """The id of the audio placeholder."""
        return [self.audio_token_id]

    def prompt(self, record: Record) -> str:
        """Return the rendered prompt with one audio placeholder, as the engine gets it."""
        return self.family.prompt(self.processor, record.query)

    def encode_question(self, record: Record) -> tuple[list[int], dict[str, torch.Tensor]]:
        """Return the ids of the prompt, with a placeholder for each frame of the audio, and the model's further inputs.

        Raises UnusableRecord for audio that cannot be read or a question that the model cannot be asked.
        """
        samples = read_audio(record)
        try:
            return self.family.encode_question(self.processor, record.query, samples)
        except InvalidQuestion as error:
            raise UnusableRecord(f"{record.id}: {error}", error.reason) from error

    def encode_answer(self, record: Record) -> list[int]:
        """Return the ids of the summary and the end of turn. Raises UnusableRecord for an empty summary or one with the
        placeholder.
        """
        ids = super().encode_answer(record)
        if self.audio_token_id in ids:
            raise UnusableRecord(f"{record.id}: the summary holds the audio placeholder", "placeholder")
        return ids

    def join_inputs(self, others: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Return the model's further inputs of all rows as one batch."""
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


def pad_batch(examples: Sequence[Example], pad_id: int) -> dict[str, torch.Tensor]:
    """Return `input_ids`, `attention_mask` and `labels` of shape (batch, longest), padded on the right. Labels of all
    other positions than the answer's are IGNORE_INDEX.

    examples: the prompt's ids, the answer's ids and the answer's labels of each, the last two of equal length.
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
