"""Make records of talks that were written by hand: conversations, calls, meetings, lectures and stories, with their
facts and with summaries for several requests each.

    speechsum-train data talks --out var/data/talks.jsonl --split train

The files `written/*.jsonl` hold a talk a line: its `turns`, its `facts`, its `answers` (a style of the service or
`json`, and the summary), and for long talks `notes` on consecutive turns. A talk gives one record for each answer, one
for each of its notes, and one that reads the notes instead of the transcript. The records of a talk have the same
`recording`, so that they stay in one split. Knows nothing about speech.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

from app.core.prompts import (
    STRUCTURED_INSTRUCTION,
    STYLE_INSTRUCTIONS,
    Style,
    SummaryStyle,
    instruction,
    note_instruction,
    notes_text,
)
from app.core.summary_length import MIN_WORDS
from training.data.record import Record, Split
from training.data.record_files import write_records
from training.synth.text.asr_noise import add_asr_noise

TALKS_FOLDER = Path(__file__).parent / "written"
SOURCE = "talks written for speechsum"
LICENSE = "Apache-2.0"
DEV_TALKS_IN = 20  # one talk of so many is in the split "dev"
LENGTH_SEED = 6  # added to the seed, so that lengths do not depend on the misheard words
WORDS_PER_SECOND = 2.5  # of speech; gives the times of notes

_SENTENCES_WITH_LENGTH = [STYLE_INSTRUCTIONS[style] for style in (SummaryStyle.PARAGRAPH, SummaryStyle.BULLETS)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `data talks`."""
    parser.add_argument("--out", type=Path, required=True, help="file of records to write")
    parser.add_argument("--split", choices=("train", "dev"), default="train", help="split; one talk in twenty is dev")
    parser.add_argument("--folder", type=Path, default=TALKS_FOLDER, help="folder of the talks' files")
    parser.add_argument("--language", action="append", default=[], help="only talks in this language (repeatable)")
    parser.add_argument("--asr-noise", type=float, default=0.0, help="share of misheard words, in every second talk")
    parser.add_argument("--max-words", type=int, help="leave out records whose transcript has more words")
    parser.add_argument(
        "--name-length",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the paragraphs and lists whose request names about as many words as the summary has, so that a "
        "model learns to follow a length",
    )
    parser.add_argument("--seed", type=int, default=1)


def run(options: argparse.Namespace) -> int:
    """Run `data talks`: write the records, all records of a talk one after another."""
    mishear = partial(add_asr_noise, rng=Random(options.seed), rate=options.asr_noise)
    records: list[Record] = []
    for number, talk in enumerate(read_talks(options.folder, options.split, options.language)):
        records += talk_records(talk, options.split, mishear if options.asr_noise and number % 2 else None)
    if options.max_words is not None:
        records = [record for record in records if record.words <= options.max_words]
    if options.name_length:
        rng = Random(options.seed + LENGTH_SEED)
        records = [name_length(record, rng, options.name_length) for record in records]
    write_records(options.out, records)
    print(options.out, len(records))
    return 0


def read_talks(folder: Path = TALKS_FOLDER, split: Split | None = None, languages: Sequence[str] = ()) -> Iterator[Any]:
    """Yield the talks of the folder's files, in the order of the files' names.

    split: only talks of this split, which depends on a talk's name alone. languages: only talks in these, if any.
    """
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            talk = json.loads(line)
            if split in (None, talk_split(talk["id"])) and (not languages or talk["language"] in languages):
                yield talk


def talk_split(talk_id: str) -> Split:
    """Return the split of a talk: "dev" for about one in `DEV_TALKS_IN`, otherwise "train"."""
    return "train" if int(sha256(talk_id.encode()).hexdigest(), 16) % DEV_TALKS_IN else "dev"


def talk_records(talk: dict[str, Any], split: Split, mishear: Callable[[str], str] | None = None) -> list[Record]:
    """Return the records of a talk.

    mishear: changes the text of a turn as a speech recognizer would; the summaries stay as they are. Raises
    BadRecord if an answer is none.
    """
    turns = [(int(speaker), mishear(text) if mishear else text) for speaker, text in talk["turns"]]
    spoken = " ".join(text for _, text in turns)

    def record(suffix: str, answer: str, query: str, **more: Any) -> Record:
        known = {
            "id": f"{talk['id']}/{suffix}", "language": talk["language"], "query": query, "transcript": spoken,
            "summary": answer, "source": SOURCE, "recording": talk["id"], "license": LICENSE, "split": split,
            "register": talk["register"], "facts": talk["facts"], "turns": turns,
        }  # fmt: skip
        return Record.from_fields(known | more)

    def in_spoken_language(style: Style) -> Style:
        # Without a language in the request the service asks for the spoken one, unless that is English.
        return (
            style
            if style.language or talk["language"] == "en"
            else style.model_copy(update={"language": talk["language"]})
        )

    found = []
    for number, answer in enumerate(talk["answers"]):
        if "json" in answer:
            text = json.dumps(answer["json"], ensure_ascii=False, separators=(",", ":"))
            query = f"{instruction(in_spoken_language(Style.model_validate({})))} {STRUCTURED_INSTRUCTION}"
            found.append(record(str(number), text, query))
        else:
            style = in_spoken_language(Style.model_validate(answer["style"]))
            found.append(record(str(number), answer["summary"], instruction(style), style=_fields(style)))
    notes = talk.get("notes", [])
    first_words = [0, *accumulate(len(text.split()) for _, text in turns)]
    for number, note in enumerate(notes):
        first, last = note["turns"]
        part = turns[first : last + 1]
        query = note_instruction(in_spoken_language(Style.model_validate({})))
        text = " ".join(text for _, text in part)
        found.append(record(f"note-{number}", note["summary"], query, transcript=text, turns=part, facts=[]))
    if notes:
        at = [(first_words[note["turns"][0]] / WORDS_PER_SECOND, note["summary"]) for note in notes]
        whole = found[0]
        found.append(
            record(
                "merged", whole.summary, whole.query, transcript="", turns=[], notes=notes_text(at), style=whole.style
            )
        )
    return found


def name_length(record: Record, rng: Random, share: float) -> Record:
    """Return a record whose request names a length, or the same record.

    A share (0 to 1) of the paragraphs and lists without a length get one: the number of words of their summary, to the
    nearest 5, or from 40 words on to the nearest 10.
    """
    sentence = next((one for one in _SENTENCES_WITH_LENGTH if record.query.startswith(one)), None)
    query = record.query
    if sentence is None or any(sign in query for sign in ("Use about", "JSON", "?")) or rng.random() >= share:
        return record
    count = len(record.summary.split())
    words = max(MIN_WORDS, round(count / 5) * 5) if count < 40 else round(count / 10) * 10
    style = None if record.style is None else record.style | {"length": str(words)}
    return replace(record, query=query.replace(sentence, f"{sentence} Use about {words} words.", 1), style=style)


def _fields(style: Style) -> dict[str, Any]:
    return {name: str(value) for name, value in style.model_dump().items() if value is not None}
