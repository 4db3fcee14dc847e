"""Files of sampled answers: JSONL, one line a record, `{"id": …, "answers": [{"text": …, "ended": …}, …]}`.

`speechsum-train pairs` writes such a file beside its pairs; `pairs --answers` and `sft --answers` read it. Knows
nothing about how the answers were sampled or what they are used for.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from training.data.record import Record

RecordAnswers = list[tuple[str, bool]]  # the answers to one record: each one's text, and whether it ended its turn
AnswerGroup = tuple[list[Record], list[RecordAnswers]]  # some records, and the answers to each


def write_answers(file: TextIO, records: Sequence[Record], answers: Sequence[RecordAnswers]) -> None:
    """Write one line for each record to the open file, and flush it."""
    for record, several in zip(records, answers, strict=True):
        rows = [{"text": text, "ended": ended} for text, ended in several]
        file.write(json.dumps({"id": record.id, "answers": rows}, ensure_ascii=False) + "\n")
    file.flush()


def read_answers(file: Path) -> dict[str, RecordAnswers]:
    """Return the answers of the file by the id of their record."""
    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    return {row["id"]: [(str(a["text"]), bool(a["ended"])) for a in row["answers"]] for row in rows}
