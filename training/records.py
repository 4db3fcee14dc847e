"""Files of records, read and written: JSONL, a record a line, and Parquet (`.parquet`), a record a row; one schema
(`training.corpus.record`).

A file is read whole before anything is said of it, so that all its problems are named at once. Knows nothing about what
is in the audio.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from training.corpus.record import BadRecord, Record

SHOWN = 20  # problems that an error names; the rest are counted
NESTED = ("style", "facts", "turns", "extra")  # kept as JSON in Parquet, whose columns hold one type alone
NUMBERS = {"start": "float64", "end": "float64", "duration_s": "float64", "words": "int64"}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?=//)|file:")


class BadExample(ValueError):
    """A record that cannot be trained on; the message names it and says why, `reason` says so in a word or two."""

    def __init__(self, message: str, reason: str = "unusable") -> None:
        super().__init__(message)
        self.reason = reason


def read_records(*files: Path) -> list[Record]:
    """Every record of the files, audio paths made absolute. Raises `BadExample` with file, line or row, field, what was
    wrong and what is expected, for all that is wrong in them (the first few in full).
    """
    records: list[Record] = []
    problems: list[str] = []
    for file in files:
        for where, values in _rows(file):
            try:
                record = Record.from_json(values) if isinstance(values, str) else Record.from_fields(values)
            except BadRecord as error:
                problems += [f"{file}, {where}: not a record: {problem}" for problem in error.problems]
                continue
            record.audio = record.audio and located(record.audio, file.parent)
            records.append(record)
    if problems:
        more = [f"and {len(problems) - SHOWN} more problems"] if len(problems) > SHOWN else []
        raise BadExample("\n".join([*problems[:SHOWN], *more]), "not a record")
    return records


def _rows(file: Path) -> Iterator[tuple[str, Any]]:
    """Where each record stands, and its line or its fields."""
    if file.suffix != ".parquet":
        with file.open(encoding="utf-8") as lines:  # not `splitlines`, which cuts at marks that a string may hold
            yield from ((f"line {number}", line) for number, line in enumerate(lines, 1) if line.strip())
        return
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        for batch in parquet.ParquetFile(file).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", {name: _unfolded(name, value) for name, value in row.items()}
    except pyarrow.ArrowInvalid as error:
        raise BadExample(f"{file}: is no Parquet file: {error}", "not a record") from error


def _unfolded(name: str, value: Any) -> Any:
    if name in NESTED and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value  # the schema says what is wrong with it
    return value


def write_records(file: Path, records: Iterable[Record]) -> None:
    """The records as JSONL, or as Parquet if the file is named so; their audio by its absolute path: paths in a data
    file are relative to it, and this one may lie elsewhere than where they came from.
    """
    rows = (replace(r, audio=_absolute(r.audio)) if r.audio else r for r in records)
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        _write_parquet(file, rows)
    else:
        file.write_text("".join(row.to_json() + "\n" for row in rows), encoding="utf-8")


def _write_parquet(file: Path, records: Iterable[Record]) -> None:
    import pyarrow
    from pyarrow import parquet

    def column(name: str) -> Any:
        if name == "names":
            return pyarrow.list_(pyarrow.string())
        return pyarrow.type_for_alias(NUMBERS.get(name, "string"))

    rows = [
        {name: json.dumps(value, ensure_ascii=False) if name in NESTED else value for name, value in r.known().items()}
        for r in records
    ]
    schema = pyarrow.schema([(name, column(name)) for name in Record.__dataclass_fields__])
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema), file)


def is_uri(audio: str) -> bool:
    """Whether `audio` is a URI and not a path."""
    return bool(_URI.match(audio))


def located(audio: str, folder: Path) -> str:
    """A path as seen from the folder, a `file:` URI as a path, another URI as it is."""
    if not is_uri(audio):
        return str(folder / audio)
    return url2pathname(urlsplit(audio).path) if audio.startswith("file:") else audio


def _absolute(audio: str) -> str:
    return audio if is_uri(audio) else str(Path(audio).resolve())
