"""Every record looked at before anything is trained on it: is its audio there, whole, finite, to be heard and short
enough; is what is asked and answered there, free of placeholders and control tokens, and within the model's context; is
no recording in two splits.

`--bad-data stop` (the default) ends the run with the ids and the reasons; `drop` leaves those records out. Either way
they are counted by reason, and the counts stand in the log's first line. Audio is decoded as the service decodes it, in
as many threads as there are cores, since only decoding finds what is broken, blank or not finite. Whether anybody
speaks in it is asked where `--check-speech` says so: voice detection takes about 4 ms a second of audio. Nothing is
kept of that. Knows nothing about losses.
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from training.data.audio import BlankAudio, go_through, stretch
from training.data.record import Record
from training.data.record_files import SHOWN, BadExample
from training.data.splits import refuse_shared
from training.data.text_files import control_token
from training.kd.rollout import answer_limit
from training.models.collate import Collator
from training.runtime.distributed import say

if TYPE_CHECKING:
    from training.recipes.common import Loop

SHORT_S = 1.0  # audio below this may be too short for an encoder
STOP, DROP = "stop", "drop"


class BadData(BadExample):
    """Some records cannot be used; the message names them (the first few) with their reasons, and counts the rest."""


@dataclass(frozen=True)
class Checked:
    """The records that can be used, with `duration_s` known where they have audio, and how many could not, by
    reason.
    """

    records: list[Record]
    dropped: Counter[str]

    def head(self) -> dict[str, Any]:
        """For the log's first line."""
        return {"records": len(self.records), "dropped": dict(self.dropped)}


def check(
    records: Sequence[Record],
    readers: Sequence[Collator],
    bad_data: str = STOP,
    *,
    answers: Sequence[str] = ("summary",),
    audio: bool | None = None,
    needs: Sequence[str] = ("query",),
    threads: int | None = None,
    speech: bool = False,
) -> Checked:
    """The records that all readers can be given.

    readers: who turns records into what a model reads, with its limits. answers: fields that hold answers to learn; if
    none, the models write them, and need room for the longest that the records allow. audio: whether it is read; by
    default, whether a reader hears. needs: fields of text that must be there. threads: that read files [all cores].
    Raises `BadData` if `bad_data` is "stop" and a record is bad, or if none is left.
    """
    if not records:
        raise BadData("no record at all", "no record")
    began = time.monotonic()
    problems: dict[int, BadExample] = {}
    kept = dict(enumerate(records))

    def refuse(found: Iterable[tuple[int, BadExample | None]]) -> None:
        for number, problem in found:
            if problem:
                problems[number] = problem
                del kept[number]

    for name in needs:
        refuse([(number, _lacking(record, name)) for number, record in kept.items()])
    if audio or (audio is None and any(reader.hears for reader in readers)):
        longest_s = min((reader.longest_s for reader in readers), default=float("inf"))
        workers = threads or os.cpu_count()
        lengths = _each(kept, lambda record: _length(record, longest_s, speech), workers)
        refuse((n, length) for n, length in lengths.items() if isinstance(length, BadExample))
        kept = {n: replace(r, duration_s=round(float(lengths[n]), 3)) for n, r in kept.items()}  # type: ignore[arg-type]
    for reader in readers:
        refuse(list(_fit(reader, kept, answers)))
    tokens = sorted({token for reader in readers for token in reader.control_tokens})
    fields = [*dict.fromkeys(["query", "transcript", *answers, *(["written"] if "summary" in answers else [])])]
    refuse([(number, _control_token_fault(record, fields, tokens)) for number, record in kept.items()])
    counts = Counter(problem.reason for problem in problems.values())
    _report(len(records), counts, time.monotonic() - began)
    named = [str(problems[number]) for number in sorted(problems)]
    listed = "\n".join([*named[:SHOWN], *([f"and {len(named) - SHOWN} more"] if len(named) > SHOWN else [])])
    if named and (bad_data == STOP or not kept):
        way = "none is left" if bad_data == DROP else "`--bad-data drop` leaves them out"
        raise BadData(f"{len(named)} of {len(records)} records cannot be used ({way}):\n{listed}", "bad data")
    if named:
        say(f"left out:\n{listed}")
    return Checked(list(kept.values()), counts)


def ready(
    how: "Loop",
    records: Sequence[Record],
    readers: Sequence[Collator],
    *,
    held_answers: Sequence[str] | None = None,
    **needed: Any,
) -> tuple[list[Record], "Loop", dict[str, Any]]:
    """A recipe's records and its loop, whose held records are checked too, and what its log's first line says of the
    data. needed: as in `check`. held_answers: what held records need of `answers`, if not the same. Raises
    `BadExample` too if a recording lies in two splits.
    """
    refuse_shared([*records, *how.held])
    needed = {"speech": how.check_speech} | needed
    found = check(records, readers, how.bad_data, **needed)
    if not how.held:
        return found.records, how, {"data": found.head()}
    if held_answers is not None:
        needed["answers"] = held_answers
    held = check(how.held, readers, how.bad_data, **needed)
    return found.records, replace(how, held=held.records), {"data": found.head(), "held": held.head()}


def _report(count: int, problems: Counter[str], seconds: float) -> None:
    said = ", ".join(f"{n} {reason}" for reason, n in problems.most_common()) or "none is bad"
    say(f"{count} records checked in {seconds:.1f} s: {said}")


def _lacking(record: Record, name: str) -> BadExample | None:
    if str(getattr(record, name)).strip():
        return None
    return BadExample(f"{record.id}: has no {name}" + (" and no style" if name == "query" else ""), f"no {name}")


def _control_token_fault(record: Record, fields: Sequence[str], tokens: Sequence[str]) -> BadExample | None:
    """What is wrong with a record in whose texts a chat template's tokens stand."""
    for name in fields:
        if token := control_token(str(getattr(record, name) or ""), tokens):
            return BadExample(f"{record.id}: the {name} holds the control token {token!r}", "control token")
    return None


def _length(record: Record, longest_s: float, speech: bool) -> float | BadExample:
    """Seconds of audio, or what is wrong with it."""
    blank = None
    try:
        seconds = go_through(record, speech=True) if speech else go_through(record)
    except BlankAudio as error:
        seconds, blank = error.seconds, error
    except BadExample as error:
        return error
    if seconds > longest_s:
        said = f"{record.id}: {seconds:.1f} s of audio, the model takes {longest_s:g} s"
        return BadExample(f"{said}; `start` and `end` name a part of a file", "too long")
    return blank or seconds


def _each(records: dict[int, Record], look: Callable[[Record], Any], threads: int | None) -> dict[int, Any]:
    """What `look` finds for each record; records that share their audio share what is found, under their own names."""
    first: dict[Any, Record] = {}
    for record in records.values():
        first.setdefault(stretch(record), record)
    with ThreadPoolExecutor(threads) as pool:
        found = dict(zip(first, pool.map(look, first.values()), strict=True))

    def own(record: Record) -> Any:
        seen, of = found[stretch(record)], first[stretch(record)].id
        return BadExample(record.id + str(seen).removeprefix(of), seen.reason) if isinstance(seen, BadExample) else seen

    return {number: own(record) for number, record in records.items()}


def _fit(reader: Collator, records: dict[int, Record], answers: Sequence[str]) -> Iterable[tuple[int, BadExample]]:
    """Records whose question or answers the reader refuses, or that are too long together.

    What the audio takes of the context grows with its length alone. So the longest is turned into tokens whole, and the
    others only where they would not fit beside audio as long as that.
    """
    room = 0 if answers else max(map(answer_limit, records.values()), default=0)
    most = None
    for number in sorted(records, key=lambda n: -(records[n].duration_s or 0)):
        record = records[number]
        try:
            needed = max([len(reader.answer(each)) for each in _answered(record, answers)], default=room)
            asked = reader.tokens(record)  # without the audio's
            if most is None or asked + most + needed > reader.max_tokens or (record.duration_s or 0) < SHORT_S:
                whole = len(reader.question(record)[0])
                most = whole - asked if most is None else most
                if whole + needed > reader.max_tokens:
                    raise _too_many(record, whole, needed, bool(answers), reader.max_tokens)
        except BadExample as error:
            yield number, error


def _answered(record: Record, answers: Sequence[str]) -> list[Record]:
    """The record once for each answer that it should hold, as its summary; and for what was written instead of it."""
    texts = [str(getattr(record, name) or "").strip() for name in answers]
    if len(texts) > 1 and (len(set(texts)) < len(texts) or "" in texts):
        said = f"{record.id}: no two answers to choose between ({' and '.join(answers)} are empty or the same)"
        raise BadExample(f"{said}; `speechsum-train pairs` makes them", "no pair")
    if "summary" in answers and record.written:
        texts.append(record.written)
    return [replace(record, summary=text) for text in texts]


def _too_many(record: Record, asked: int, needed: int, learned: bool, limit: int) -> BadExample:
    if learned:
        message = f"{asked} tokens and {needed} of the answer, the model takes {limit}"
    else:
        message = f"{asked} tokens leave no room for an answer of {needed}, the model takes {limit}"
    return BadExample(f"{record.id}: {message}", "too many tokens")


def add_argument(parser: argparse.ArgumentParser) -> None:
    """The option."""
    parser.add_argument(
        "--bad-data",
        choices=(STOP, DROP),
        default=STOP,
        help="records that cannot be used end the run, or are left out",
    )
    parser.add_argument(
        "--check-speech",
        action="store_true",
        help="also refuse recordings in which nobody speaks, as the service does: about 4 ms a second of audio",
    )
