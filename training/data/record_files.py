"""Files of records, read and written: JSONL, a record a line, and Parquet (`.parquet`), a record a row; one schema
(`training.data.record`).

A file is read whole before anything is said of it, so that all its problems are named at once. Text may be in any
encoding that `training.data.text_files` understands. Knows nothing about what is in the audio.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from training.data.record import BadRecord, Record
from training.data.text_files import InvalidText, numbered_lines
from training.runtime.path_problems import read_error_text

MAX_PROBLEMS_SHOWN = 20  # problems that an error names; the rest are counted
JSON_COLUMNS = ("style", "facts", "turns", "extra")  # kept as JSON in Parquet, whose columns hold one type alone
NUMBER_COLUMNS = {"start": "float64", "end": "float64", "duration_s": "float64", "words": "int64"}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?=//)|file:")


class UnusableRecord(ValueError):
    """A record that cannot be trained on; the message names it and says why, `reason` says so in a word or two."""

    def __init__(self, message: str, reason: str = "unusable") -> None:
        super().__init__(message)
        self.reason = reason


def read_records(*files: Path) -> list[Record]:
    """Every record of the files, audio paths made absolute. Raises `UnusableRecord` with file, line or row, field, what
    was wrong and what is expected, for all that is wrong in them (the first few in full).
    """
    records, problems = readable_records(*files)
    if problems:
        more = [f"and {len(problems) - MAX_PROBLEMS_SHOWN} more problems"] if len(problems) > MAX_PROBLEMS_SHOWN else []
        raise UnusableRecord("\n".join([*problems[:MAX_PROBLEMS_SHOWN], *more]), "not a record")
    return records


def readable_records(*files: Path) -> tuple[list[Record], list[str]]:
    """The records that can be read, audio paths made absolute, and what is wrong with everything else, a sentence
    each: file, line or row, field, what was wrong and what is expected.
    """
    records: list[Record] = []
    problems: list[str] = []
    for file in files:
        try:
            for where, values in _rows(file):
                try:
                    if isinstance(values, InvalidText):
                        raise BadRecord([str(values)])
                    record = Record.from_json(values) if isinstance(values, str) else Record.from_fields(values)
                except BadRecord as error:
                    problems += [f"{file}, {where}: not a record: {problem}" for problem in error.problems]
                    continue
                record.audio = record.audio and resolve_audio(record.audio, file.parent)
                records.append(record)
        except (OSError, UnusableRecord) as error:
            problems.append(str(error) if isinstance(error, UnusableRecord) else f"{file}: {read_error_text(error)}")
    return records, problems


def _rows(file: Path) -> Iterator[tuple[str, Any]]:
    """Where each record stands, and its line, its fields, or what keeps it from being read. Raises OSError or
    `UnusableRecord` for the file as a whole.
    """
    if file.suffix != ".parquet":
        yield from ((f"line {number}", line) for number, line in numbered_lines(file))
        return
    import pyarrow
    from pyarrow import parquet

    if file.is_dir():
        raise IsADirectoryError(file)
    number = 0
    try:
        with parquet.ParquetFile(file) as opened:
            for batch in opened.iter_batches():
                for place in range(batch.num_rows):
                    number += 1
                    try:
                        (row,) = batch.slice(place, 1).to_pylist()
                    except (UnicodeDecodeError, ValueError, OverflowError) as error:
                        yield f"row {number}", InvalidText(f"cannot be read: {error}")
                        continue
                    yield f"row {number}", {name: _parse_nested(name, value) for name, value in row.items()}
    except FileNotFoundError:
        raise
    except (pyarrow.ArrowException, OSError) as error:
        raise UnusableRecord(f"{file}: is no Parquet file: {error}", "not a record") from error


def _parse_nested(name: str, value: Any) -> Any:
    if name in JSON_COLUMNS and isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
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
        return pyarrow.type_for_alias(NUMBER_COLUMNS.get(name, "string"))

    rows = [
        {
            name: json.dumps(value, ensure_ascii=False) if name in JSON_COLUMNS else value
            for name, value in r.non_empty_fields().items()
        }
        for r in records
    ]
    schema = pyarrow.schema([(name, column(name)) for name in Record.__dataclass_fields__])
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema), file)


def is_uri(audio: str) -> bool:
    """Whether `audio` is a URI and not a path."""
    return bool(_URI.match(audio))


def resolve_audio(audio: str, folder: Path) -> str:
    """A path as seen from the folder, a `file:` URI as a path, another URI as it is."""
    if not is_uri(audio):
        return str(folder / audio)
    return url2pathname(urlsplit(audio).path) if audio.startswith("file:") else audio


def _absolute(audio: str) -> str:
    return audio if is_uri(audio) else str(Path(audio).resolve())
