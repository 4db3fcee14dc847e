"""The sources of `data prepare`: folders of recordings with transcripts, and datasets with an audio column.

A source yields the name of each recording and a function that reads it. If a recording cannot be read, its function
raises UnusableRecording, and the other recordings are not affected. Knows nothing about what is made of the recordings.
"""

import argparse
import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from training.data.text_files import InvalidText, escape_unprintable, numbered_lines, parse_json, read_text
from training.runtime.path_problems import read_error_text

TABLES = (".csv", ".tsv", ".jsonl")
LARGEST_CELL = 64 << 20  # characters of one cell of a table


class UnusableRecording(ValueError):
    """A recording cannot be used. The message says why."""


@dataclass
class SourceRecording:
    """One recording as the source holds it: its parts in order (bytes, or the files that hold them), the transcript,
    and the summary and the language if the source has them.
    """

    parts: list[bytes | Path]
    transcript: str
    summary: str = ""
    language: str | None = None


Source = Iterator[tuple[str, Callable[[], SourceRecording]]]  # (name, function that reads the recording)


def folder_recordings(folder: Path, layout: Any) -> Source:
    """Yield each recording of the folder, with its text from a table or from a text file beside it.

    Text files and rows of tables without a recording are yielded too; their functions raise UnusableRecording. layout:
    a `training.data.prepare.Layout`. Raises ValueError for a table without the columns that are read.
    """
    texts, rows, files = {}, dict[Path, dict[str, Any]](), list[Path]()
    for file in sorted(folder.rglob("*")):
        if file.is_dir() and not (file.suffix == ".txt" or file.stem == "metadata"):
            continue
        if file.stem == "metadata":
            if file.suffix in TABLES:
                for place, row in _table_rows(file, layout):
                    if isinstance(row, str):
                        yield f"{_recording_name(file, folder)}, {place}", _unusable_reader(row)
                    else:
                        rows[file.parent / str(row["file_name"])] = row
            else:
                yield _recording_name(file, folder), _unusable_reader(f"is no table that is read ({', '.join(TABLES)})")
        elif file.suffix == ".txt":
            texts[file.with_suffix("")] = file
        else:
            files.append(file)
    for file in files:
        table_row = rows.pop(file) if file in rows else None
        text = texts.get(file.with_suffix(""))  # of all recordings of this name, whatever their suffix
        name = str((table_row or {}).get(layout.name or "") or "").strip() or _recording_name(file, folder)
        yield escape_unprintable(name), partial(_read_recording, file, table_row, text, layout)
    recordings = {file.with_suffix("") for file in files}
    for stem, text in texts.items():
        if stem not in recordings:
            yield _recording_name(text, folder), _unusable_reader("there is no recording beside this transcript")
    for file in rows:
        yield _recording_name(file, folder), _unusable_reader("a table names this recording, and there is no such file")


def _recording_name(file: Path, folder: Path) -> str:
    return escape_unprintable(str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file))


def _unusable_reader(why: str) -> Callable[[], SourceRecording]:
    def read() -> SourceRecording:
        raise UnusableRecording(why)

    return read


def _read_recording(file: Path, row: dict[str, Any] | None, text: Path | None, layout: Any) -> SourceRecording:
    transcript = (row or {}).get(layout.text)
    if not transcript and text:
        try:
            transcript = read_text(text)
        except InvalidText as error:
            raise UnusableRecording(f"the transcript {text.name} {error}") from error
        except OSError as error:
            raise UnusableRecording(f"the transcript {text.name} {read_error_text(error)}") from error
    return SourceRecording(
        [file],
        _text_value(transcript, "transcript"),
        _text_value((row or {}).get(layout.summary or ""), "summary"),
        _text_value((row or {}).get(layout.language_column or ""), "language") or None,
    )


def _text_value(value: Any, what: str) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise UnusableRecording(f"the {what} is not a text: {value!r:.60}")


def _table_rows(table: Path, layout: Any) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Yield the place of each row of a `metadata.csv`, `.tsv` or `.jsonl`, and the row, or a sentence that says what is
    wrong with it. Raises ValueError for a table without the columns that are read.
    """
    try:
        rows = list(_json_rows(table) if table.suffix == ".jsonl" else _csv_rows(table))
    except InvalidText as error:
        yield "the table", str(error)
        return
    except OSError as error:
        yield "the table", read_error_text(error)
        return
    for number, row in enumerate(rows, 1):
        if isinstance(row, str):
            yield f"row {number}", row
            continue
        missing = [name for name in ("file_name", layout.text) if name not in row]
        if missing and number == 1:
            has = ", ".join(map(str, row))
            raise ValueError(f"{table}, row {number} has no {missing[0]!r} (--text is {layout.text}); it has {has}")
        if missing:
            yield f"row {number}", f"has no {missing[0]!r}"
        elif not isinstance(row["file_name"], str) or not row["file_name"].strip() or "\x00" in row["file_name"]:
            yield f"row {number}", f"its file_name is not the name of a file: {row['file_name']!r:.60}"
        else:
            yield f"row {number}", row


def _csv_rows(table: Path) -> Iterator[dict[str, Any] | str]:
    csv.field_size_limit(LARGEST_CELL)
    rows = csv.DictReader(io.StringIO(read_text(table), newline=""), delimiter="\t" if table.suffix == ".tsv" else ",")
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"cannot be read: {error}"
            continue
        if None in row:
            yield f"has more cells than the table has columns: {row[None]!r:.60}"
        else:
            yield row


def _json_rows(table: Path) -> Iterator[dict[str, Any] | str]:
    for _, line in numbered_lines(table):
        try:
            if isinstance(line, InvalidText):
                raise line
            row = parse_json(line)
        except InvalidText as error:
            yield str(error)
            continue
        yield row if isinstance(row, dict) else f"is not a JSON object: {line:.60}"


def dataset_recordings(options: argparse.Namespace, layout: Any) -> Source:
    """Yield each row of the dataset, or each group of rows if the layout has a `group`.

    options: `dataset` (the name on a hub, a folder or a Parquet file) and `split`. layout: a
    `training.data.prepare.Layout`. Raises ValueError if the dataset lacks one of the layout's columns.
    """
    from datasets import Audio, load_dataset, load_from_disk

    place = Path(options.dataset)
    if (place / "dataset_info.json").exists():
        rows: Any = load_from_disk(str(place))
    elif place.suffix == ".parquet" and place.is_file():
        rows = load_dataset("parquet", data_files=str(place), split="train")
    else:
        rows = load_dataset(options.dataset, layout.config_name, split=options.split)
    named = ("audio", "text", "summary", "name", "language_column", "group", "order")
    for option, column in ((name, getattr(layout, name)) for name in named):
        if column and column not in rows.features:
            flag = "--" + option.replace("_", "-")
            raise ValueError(f"{options.dataset} has no column {column!r} ({flag}); it has {', '.join(rows.features)}")
    if isinstance(rows.features[layout.audio], Audio):
        # Bytes, because the service's own decoder decodes them.
        rows = rows.cast_column(layout.audio, Audio(decode=False))
    base = place if place.is_dir() else place.parent
    groups: dict[str, list[int]] = {}
    if layout.group:
        for number, key in enumerate(rows[layout.group]):
            groups.setdefault(str(key), []).append(number)
        times = list(rows[layout.order]) if layout.order else None
        for key, numbers in groups.items():
            if times:
                try:
                    numbers = sorted(numbers, key=times.__getitem__)
                except TypeError:
                    why = f"the rows of {key} cannot be ordered by {layout.order!r}: some have no value there"
                    yield escape_unprintable(key), _unusable_reader(why)
                    continue
            yield escape_unprintable(key), partial(_join_rows, rows, numbers, layout, base)
        return
    names = list(rows[layout.name]) if layout.name else None
    for number in range(len(rows)):
        given = str(names[number]).strip() if names and names[number] is not None else ""
        name = escape_unprintable(given) or f"{options.split}-{number:06d}"
        yield name, partial(_join_rows, rows, [number], layout, base)


def _join_rows(rows: Any, numbers: list[int], layout: Any, base: Path) -> SourceRecording:
    """Return the rows as one recording. Raises UnusableRecording."""
    try:
        group = [rows[number] for number in numbers]
    except Exception as error:  # Arrow and the codecs of `datasets` raise errors of many types
        raise UnusableRecording(f"row {numbers[0]} cannot be read: {type(error).__name__}: {error}"[:300]) from error
    first = group[0]
    return SourceRecording(
        [_audio_part(row[layout.audio], base) for row in group],
        " ".join(_text_value(row[layout.text], "transcript") for row in group),
        _text_value(first[layout.summary], "summary") if layout.summary else "",
        _text_value(first[layout.language_column], "language") or None if layout.language_column else None,
    )


def _audio_part(cell: Any, base: Path) -> bytes | Path:
    """Return the bytes of a cell, or the file that it names. Relative paths are relative to the folder `base`."""
    if isinstance(cell, bytes):
        return cell
    if isinstance(cell, str) and cell:
        return base / cell
    if isinstance(cell, dict):
        if cell.get("bytes") is not None:
            return bytes(cell["bytes"])
        if cell.get("path"):
            return base / str(cell["path"])
    raise UnusableRecording("there is no audio in the row")
