"""Reading and writing files of records: JSONL, a record a line, and Parquet (`.parquet`), a record a row, with the same
schema (`training.data.record`).

A file is read whole before an error is raised, so that the error names all of its problems. JSONL may be in any
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

MAX_PROBLEMS_SHOWN = 20  # an error message names so many problems and counts the rest
JSON_COLUMNS = ("style", "facts", "turns", "extra")  # stored as JSON in Parquet, whose columns have one type each
NUMBER_COLUMNS = {"start": "float64", "end": "float64", "duration_s": "float64", "words": "int64"}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?=//)|file:")


class UnusableRecord(ValueError):
    """A record cannot be used. The message names it and says why; `reason` says it in two or three words, to count
    by.
    """

    def __init__(self, message: str, reason: str = "unusable") -> None:
        super().__init__(message)
        self.reason = reason


def read_records(*files: Path) -> list[Record]:
    """Return all records of the files, with absolute audio paths.

    Raises UnusableRecord if anything in the files is not a record. The message has a sentence for each problem (the
    first few, the rest are counted): the file, the line or row, the field, what is wrong, and what is expected.
    """
    records, problems = readable_records(*files)
    if problems:
        more = [f"and {len(problems) - MAX_PROBLEMS_SHOWN} more problems"] if len(problems) > MAX_PROBLEMS_SHOWN else []
        raise UnusableRecord("\n".join([*problems[:MAX_PROBLEMS_SHOWN], *more]), "not a record")
    return records


def readable_records(*files: Path) -> tuple[list[Record], list[str]]:
    """Return the records that can be read, with absolute audio paths, and a sentence for each problem: the file, the
    line or row, the field, what is wrong, and what is expected.
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
    """Yield the place of each record ("line 3", "row 3") and its line of JSON, its fields, or why it cannot be read.
    Raises OSError or UnusableRecord if the file as a whole cannot be read.
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
            return value  # the schema will say what is wrong with it
    return value


def write_records(file: Path, records: Iterable[Record]) -> None:
    """Write the records as JSONL, or as Parquet if the name of the file ends in `.parquet`.

    Audio paths are written as absolute paths: relative paths are relative to the data file, which may lie elsewhere
    than the one that the records were read from.
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
    """Return whether `audio` is a URI and not a path."""
    return bool(_URI.match(audio))


def resolve_audio(audio: str, folder: Path) -> str:
    """Return a relative path as seen from the folder, a `file:` URI as a path, and any other URI as it is."""
    if not is_uri(audio):
        return str(folder / audio)
    return url2pathname(urlsplit(audio).path) if audio.startswith("file:") else audio


def _absolute(audio: str) -> str:
    return audio if is_uri(audio) else str(Path(audio).resolve())
