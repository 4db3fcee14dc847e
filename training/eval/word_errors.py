"""Measure the word errors of a speech recognizer, apart for people, natural synthesizers and robotic ones.

    speechsum-train word-errors --records var/data/people/records.jsonl --out results/word-errors.json

The recognizer is the service's own (`app.core.asr`), so what it was too unsure of is left out of its transcript, and
counts as missing. The word error rate is the edit distance in words divided by the words that were said. Capitals and
punctuation do not count, and English numbers count the same in digits and in words. Intervals are 95 %, bootstrap over
recordings. A recording of several records counts once. Records without a transcript and recordings without speech are
left out.
"""

import argparse
import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rapidfuzz.distance import Levenshtein

from app.core.text.normalize import normalize
from model_repo.parts import fetch_part
from training.data.record import Record
from training.data.record_files import read_records
from training.data.splits import recording_names
from training.eval.breakdown import NATURAL, voice_kind
from training.eval.scores import bootstrap_interval
from training.eval.transcribe import transcribe
from training.runtime.run_record import command_line

DEFAULT_PART = "whisper-base-ct2"  # what `cascade-base` hears with


def word_error_row(record: Record, heard: str) -> dict[str, Any]:
    """Return the record's `said` and `heard` text, its language and kind of voice, the edit distance between both in
    words (`word_errors`), and the number of `words` that were said.
    """
    said = normalize(record.transcript)
    return {
        "id": record.id,
        "voice": voice_kind(record),
        "language": record.language,
        "seconds": record.duration_s,
        "word_errors": Levenshtein.distance(said, normalize(heard)),
        "words": len(said),
        "said": record.transcript,
        "heard": heard,
    }


def word_error_figures(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the number of recordings and words and the `word_error` rate with its interval, of each kind of voice
    (`voices`) and of each language of natural voices (`languages`).
    """
    natural = [row for row in rows if row["voice"] in NATURAL]
    return {
        "voices": _figures_by(rows, lambda row: str(row["voice"])),
        "languages": _figures_by(natural, lambda row: str(row["language"])),
    }


def _figures_by(rows: Sequence[dict[str, Any]], name: Callable[[dict[str, Any]], str]) -> dict[str, dict[str, Any]]:
    figures = {}
    for value in sorted({name(row) for row in rows}):
        group = [row for row in rows if name(row) == value]
        errors, words = [row["word_errors"] for row in group], [row["words"] for row in group]
        rate = bootstrap_interval("word_error", group, errors, words, 0)
        figures[value] = {"recordings": len(group), "words": sum(words)} | rate
    return figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `word-errors`."""
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="JSONL or Parquet files of records")
    parser.add_argument(
        "--whisper", type=Path, help="folder of a Whisper in CTranslate2's format; without it `--part` is fetched"
    )
    parser.add_argument("--part", default=DEFAULT_PART, help="base part of the registry that holds the recognizer")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the figures and all texts")


def run(options: argparse.Namespace) -> int:
    """Run `word-errors`: write and print the rates. Raises ValueError if no record is left, and PartError if there is
    no such part.
    """
    first: dict[str, Record] = {}
    for record in read_records(*options.records):
        if record.transcript and not record.no_speech:
            first.setdefault(next(recording_names(record), record.id), record)
    if not first:
        raise ValueError("no record has a transcript to compare with")
    records = list(first.values())
    heard = asyncio.run(transcribe(records, options.whisper or fetch_part(options.part)))
    rows = [word_error_row(record, other.transcript) for record, other in zip(records, heard, strict=True)]
    result: dict[str, Any] = {
        "command": command_line(),
        "recognizer": str(options.whisper or options.part),
        "figures": word_error_figures(rows),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result | {"rows": rows}, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(result, indent=1, ensure_ascii=False))
    return 0
