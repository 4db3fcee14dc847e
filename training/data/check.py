"""The check of all records before a run trains on them.

For each record it checks that the audio exists, is undamaged, finite, audible and short enough for the model; that the
question and the answer exist, hold no placeholder and no control token, and fit into the model's context.

With `--bad-data stop` (the default) the run ends and names the bad records with the reasons; with `drop` it leaves them
out. Either way they are counted by reason, and the first line of the log holds the counts. All audio is decoded as the
service decodes it, in as many threads as there are cores, because only decoding finds damaged, blank and non-finite
audio. Speech is looked for only with `--check-speech`: voice detection takes about 4 ms for a second of audio. No
decoded audio is kept. Knows nothing about losses.
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

from training.data.answer_limit import answer_limit
from training.data.audio import BlankAudio, audio_key, check_audio
from training.data.record import Record
from training.data.record_files import MAX_PROBLEMS_SHOWN, UnusableRecord, read_records, readable_records
from training.data.text_files import find_control_token
from training.runtime.distributed import print_once

SHORT_AUDIO_SECONDS = 1.0  # audio below this may be too short for an encoder
STOP, DROP = "stop", "drop"


class UnusableData(UnusableRecord):
    """Some records cannot be used. The message names the first few with their reasons, and counts the rest."""


class RecordEncoder(Protocol):
    """What the checks need of a collator (`training.models.collate`): how it encodes a record, and its limits."""

    takes_audio: bool
    max_tokens: int

    @property
    def max_audio_seconds(self) -> float:
        """The longest audio of a question, in seconds."""

    @property
    def control_tokens(self) -> list[str]:
        """The control tokens of the tokenizer, which no text may hold."""

    def question_token_count(self, record: Record) -> int:
        """Return the tokens of the question without those that stand for audio. Raises UnusableRecord."""

    def encode_question(self, record: Record) -> tuple[list[int], Any]:
        """Return the token ids of the question, and the model's other inputs. Raises UnusableRecord."""

    def encode_answer(self, record: Record) -> list[int]:
        """Return the token ids of the summary and of the end of turn. Raises UnusableRecord."""


@dataclass(frozen=True)
class CheckedRecords:
    """The usable records, whose `duration_s` is set if they have audio, and the number of dropped records by reason."""

    records: list[Record]
    dropped_counts: Counter[str]

    def log_entry(self) -> dict[str, Any]:
        """Return the counts for the first line of the training log."""
        return {"records": len(self.records), "dropped": dict(self.dropped_counts)}


def check_records(
    records: Sequence[Record],
    collators: Sequence[RecordEncoder],
    bad_data: str = STOP,
    *,
    answers: Sequence[str] = ("summary",),
    audio: bool | None = None,
    required_fields: Sequence[str] = ("query",),
    threads: int | None = None,
    require_speech: bool = False,
) -> CheckedRecords:
    """Return the records that all the models can be trained on.

    Args:
        records: The records to check.
        collators: What encodes records for each of the models, with its limits.
        bad_data: "stop" or "drop".
        answers: The fields that hold answers to learn. If there are none, the models write the answers, and there must
            be room for the longest answer that the records allow.
        audio: Whether the audio is used. By default it is if one of the collators takes audio.
        required_fields: Text fields that must not be empty.
        threads: Number of threads that read files; by default one for each core.
        require_speech: Whether a recording without speech counts as bad, unless the record says `no_speech`.

    Raises:
        UnusableData: `bad_data` is "stop" and a record is bad, or no record is left.
    """
    if not records:
        raise UnusableData("no record at all", "no record")
    began = time.monotonic()
    problems: dict[int, UnusableRecord] = {}
    kept = dict(enumerate(records))

    def drop(found: Iterable[tuple[int, UnusableRecord | None]]) -> None:
        for number, problem in found:
            if problem:
                problems[number] = problem
                del kept[number]

    for name in required_fields:
        drop([(number, _missing_field(record, name)) for number, record in kept.items()])
    if audio or (audio is None and any(collator.takes_audio for collator in collators)):
        longest_s = min((collator.max_audio_seconds for collator in collators), default=float("inf"))
        workers = threads or os.cpu_count()
        lengths = _map_by_audio(kept, lambda record: _audio_length(record, longest_s, require_speech), workers)
        drop((n, length) for n, length in lengths.items() if isinstance(length, UnusableRecord))
        kept = {n: replace(r, duration_s=round(float(lengths[n]), 3)) for n, r in kept.items()}
    for collator in collators:
        drop(list(_oversized_records(collator, kept, answers)))
    tokens = sorted({token for collator in collators for token in collator.control_tokens})
    fields = [*dict.fromkeys(["query", "transcript", *answers, *(["written"] if "summary" in answers else [])])]
    drop([(number, _control_token_fault(record, fields, tokens)) for number, record in kept.items()])
    counts = Counter(problem.reason for problem in problems.values())
    _report(len(records), counts, time.monotonic() - began)
    sentences = [str(problems[number]) for number in sorted(problems)]
    listed = "\n".join(
        [
            *sentences[:MAX_PROBLEMS_SHOWN],
            *([f"and {len(sentences) - MAX_PROBLEMS_SHOWN} more"] if len(sentences) > MAX_PROBLEMS_SHOWN else []),
        ]
    )
    if sentences and (bad_data == STOP or not kept):
        way = "none is left" if bad_data == DROP else "`--bad-data drop` leaves them out"
        raise UnusableData(f"{len(sentences)} of {len(records)} records cannot be used ({way}):\n{listed}", "bad data")
    if sentences:
        print_once(f"left out:\n{listed}")
    return CheckedRecords(list(kept.values()), counts)


def read_training_records(options: argparse.Namespace) -> list[Record]:
    """Return the records of the files `options.data`, without those of more than `options.max_words` spoken words (0
    keeps all). With `options.bad_data` "drop", lines that hold no record are printed and left out.

    Raises UnusableRecord for a line that holds no record, or if no record can be read.
    """
    if getattr(options, "bad_data", STOP) == DROP:
        read, problems = readable_records(*options.data)
        if problems:
            print_once("left out:\n" + "\n".join(problems[:MAX_PROBLEMS_SHOWN]))
            print_once(f"{len(problems)} problems in {len(options.data)} files")
        if not read:
            raise UnusableRecord(f"no record can be read in {', '.join(map(str, options.data))}", "not a record")
    else:
        read = read_records(*options.data)
    records = [r for r in read if not options.max_words or r.words <= options.max_words]
    print_once(f"{len(records)} records")
    return records


def _report(count: int, problems: Counter[str], seconds: float) -> None:
    reasons = ", ".join(f"{n} {reason}" for reason, n in problems.most_common()) or "none is bad"
    print_once(f"{count} records checked in {seconds:.1f} s: {reasons}")


def _missing_field(record: Record, name: str) -> UnusableRecord | None:
    if str(getattr(record, name)).strip():
        return None
    return UnusableRecord(f"{record.id}: has no {name}" + (" and no style" if name == "query" else ""), f"no {name}")


def _control_token_fault(record: Record, fields: Sequence[str], tokens: Sequence[str]) -> UnusableRecord | None:
    """Return the fault of a record whose texts hold a control token of a chat template, or None."""
    for name in fields:
        if token := find_control_token(str(getattr(record, name) or ""), tokens):
            return UnusableRecord(f"{record.id}: the {name} holds the control token {token!r}", "control token")
    return None


def _audio_length(record: Record, longest_s: float, speech: bool) -> float | UnusableRecord:
    """Return the seconds of the record's audio, or why it cannot be used."""
    blank = None
    try:
        seconds = check_audio(record, require_speech=True) if speech and not record.no_speech else check_audio(record)
    except BlankAudio as error:
        seconds, blank = error.seconds, error
    except UnusableRecord as error:
        return error
    if seconds > longest_s:
        message = f"{record.id}: {seconds:.1f} s of audio, the model takes {longest_s:g} s"
        return UnusableRecord(f"{message}; `start` and `end` name a part of a file", "too long")
    return blank or seconds


def _map_by_audio(records: dict[int, Record], look: Callable[[Record], Any], threads: int | None) -> dict[int, Any]:
    """Return what `look` finds for each record. It is called once for records with the same audio; an error that it
    finds is given to each of them under its own id.
    """
    first: dict[Any, Record] = {}
    for record in records.values():
        first.setdefault(audio_key(record), record)
    with ThreadPoolExecutor(threads) as pool:
        results = dict(zip(first, pool.map(look, first.values()), strict=True))

    def result_for(record: Record) -> Any:
        result, decoded_id = results[audio_key(record)], first[audio_key(record)].id
        return (
            UnusableRecord(record.id + str(result).removeprefix(decoded_id), result.reason)
            if isinstance(result, UnusableRecord)
            else result
        )

    return {number: result_for(record) for number, record in records.items()}


def _oversized_records(
    collator: RecordEncoder, records: dict[int, Record], answers: Sequence[str]
) -> Iterable[tuple[int, UnusableRecord]]:
    """Yield the records whose question or answer the collator refuses, or which are too long together.

    The tokens that audio takes depend on its length alone. So only the record with the longest audio is encoded whole;
    of the others, only those that would not fit if their audio were as long.
    """
    room = 0 if answers else max(map(answer_limit, records.values()), default=0)
    most = None
    for number in sorted(records, key=lambda n: -(records[n].duration_s or 0)):
        record = records[number]
        try:
            needed = max(
                [len(collator.encode_answer(each)) for each in _answer_variants(record, answers)], default=room
            )
            asked = collator.question_token_count(record)  # without the audio's
            if (
                most is None
                or asked + most + needed > collator.max_tokens
                or (record.duration_s or 0) < SHORT_AUDIO_SECONDS
            ):
                whole = len(collator.encode_question(record)[0])
                most = whole - asked if most is None else most
                if whole + needed > collator.max_tokens:
                    raise _too_many_tokens(record, whole, needed, bool(answers), collator.max_tokens)
        except UnusableRecord as error:
            yield number, error


def _answer_variants(record: Record, answers: Sequence[str]) -> list[Record]:
    """Return a copy of the record for each of its answers, with that answer as the summary. `written` is one of them if
    summaries are learned.
    """
    texts = [str(getattr(record, name) or "").strip() for name in answers]
    if len(texts) > 1 and (len(set(texts)) < len(texts) or "" in texts):
        message = f"{record.id}: no two answers to choose between ({' and '.join(answers)} are empty or the same)"
        raise UnusableRecord(f"{message}; `speechsum-train pairs` makes them", "no pair")
    if "summary" in answers and record.written:
        texts.append(record.written)
    return [replace(record, summary=text) for text in texts]


def _too_many_tokens(record: Record, asked: int, needed: int, learned: bool, limit: int) -> UnusableRecord:
    if learned:
        message = f"{asked} tokens and {needed} of the answer, the model takes {limit}"
    else:
        message = f"{asked} tokens leave no room for an answer of {needed}, the model takes {limit}"
    return UnusableRecord(f"{record.id}: {message}", "too many tokens")


def add_bad_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--bad-data` and `--check-speech` to the parser."""
    parser.add_argument(
        "--bad-data",
        choices=(STOP, DROP),
        default=STOP,
        help="whether records that cannot be used end the run (stop) or are left out (drop)",
    )
    parser.add_argument(
        "--check-speech",
        action="store_true",
        help="also refuse recordings in which nobody speaks, as the service does (takes 4 ms for a second of audio)",
    )
