"""Spoken records → records that ask for what is said, word for word: the first thing a model that hears is taught.

    python -m tools.offline_gpu.repeat_records OUT.jsonl IN.jsonl …

A summary rewards guessing how summaries sound; a repetition rewards nothing but hearing. The query is worded here and
not by `app.core.prompts`, because no caller of the service can ask it.
"""

import sys
from dataclasses import replace
from pathlib import Path

from training.data.record import Record
from training.data.record_files import read_records, write_records

QUERY = "Repeat what is said in the recording, word for word."


def repetition(record: Record) -> Record:
    """The record with its transcript for an answer."""
    return replace(record, id=f"{record.id}-repeat", query=QUERY, summary=record.transcript)


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) < 2:
        print("usage: python -m tools.offline_gpu.repeat_records OUT.jsonl IN.jsonl …", file=sys.stderr)
        return 2
    out, *files = map(Path, arguments)
    write_records(out, map(repetition, read_records(*files)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
