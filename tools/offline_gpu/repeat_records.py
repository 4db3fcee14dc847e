"""Make records that ask for the exact words of a recording, from spoken records. Audio models learn this first.

    python -m tools.offline_gpu.repeat_records OUT.jsonl IN.jsonl …

A model can guess much of a summary without listening, but not the words of a recording. The query is defined here and
not in `app.core.prompts`, because no user of the service can ask it.
"""

import sys
from dataclasses import replace
from pathlib import Path

from training.data.record import Record
from training.data.record_files import read_records, write_records

QUERY = "Repeat what is said in the recording, word for word."


def repetition(record: Record) -> Record:
    """Return the record with the query `QUERY` and its transcript as the answer."""
    return replace(record, id=f"{record.id}-repeat", query=QUERY, summary=record.transcript)


def main(argv: list[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) < 2:
        print("usage: python -m tools.offline_gpu.repeat_records OUT.jsonl IN.jsonl …", file=sys.stderr)
        return 2
    out, *files = map(Path, arguments)
    write_records(out, map(repetition, read_records(*files)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
