"""The progress of `data prepare`: records are written as they are made, and a later run reuses those of an earlier one.

`OUT/{train,dev,test}.jsonl` grow by a line for each record. `progress.jsonl` beside them holds the key of each record:
the SHA-256 of the options and of everything that was read for it. A run that is started again reuses a record if its
key is the same and its audio exists. At the end the files hold the records of this run only, in the order of the
source. Knows nothing about where recordings come from.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.data.record import BadRecord, Record, Split
from training.data.text_files import InvalidText, numbered_lines, parse_json

SPLIT_NAMES: tuple[Split, ...] = ("train", "dev", "test")
PROGRESS_FILE = "progress.jsonl"


class Progress:
    """The records that this run and earlier runs made in the folder `out`. options: all options that the records depend
    on.
    """

    def __init__(self, out: Path, options: dict[str, Any]) -> None:
        self.out, self._options = out, json.dumps(options, sort_keys=True, default=str).encode("utf-8", "replace")
        self._earlier = self._earlier_records()
        self._finished: dict[str, tuple[Record, str]] = {}
        for file in (self._file(name) for name in SPLIT_NAMES):
            _end_line(file)
        _end_line(out / PROGRESS_FILE)

    def key(self, texts: Sequence[str | None], data: Sequence[Any]) -> str:
        """Return the key of a record that is made from these texts and bytes."""
        digest = hashlib.sha256(self._options)
        digest.update(json.dumps(texts).encode())
        for part in data:
            digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()

    def reuse_record(self, name: str, key: str) -> bool:
        """Take over the record of this name if an earlier run made it with the same key; return whether it did."""
        record, made = self._earlier.get(name, (None, ""))
        if record is None or made != key or not (self.out / str(record.audio)).is_file():
            return False
        self._finished[name] = record, key
        return True

    def add(self, record: Record, key: str) -> None:
        """Write a record. The key is written last: without a key the next run makes the record again."""
        self._finished[record.id] = record, key
        with self._file(record.split).open("a", encoding="utf-8") as file:
            file.write(record.to_json() + "\n")
        with (self.out / PROGRESS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"id": record.id, "key": key}) + "\n")

    def finish(self) -> dict[str, list[Record]]:
        """Rewrite the files with the records of this run only, and return these by split."""
        rows: dict[str, list[Record]] = {name: [] for name in SPLIT_NAMES}
        for record, _ in self._finished.values():
            rows[record.split].append(record)
        for name in SPLIT_NAMES:
            _replace(self._file(name), [record.to_json() for record in rows[name]])
        keys = [json.dumps({"id": name, "key": key}) for name, (_, key) in self._finished.items()]
        _replace(self.out / PROGRESS_FILE, keys)
        return rows

    def _file(self, split: str) -> Path:
        return self.out / f"{split}.jsonl"

    def _earlier_records(self) -> dict[str, tuple[Record, str]]:
        """Return the records of an earlier run and their keys by name. A half line, of a run that was killed, is
        ignored.
        """
        records: dict[str, Record] = {}
        for line in (line for name in SPLIT_NAMES for line in _lines(self._file(name))):
            try:
                record = Record.from_json(line)
            except BadRecord:
                continue
            records[record.id] = record
        keys: dict[str, str] = {}
        for line in _lines(self.out / PROGRESS_FILE):
            try:
                row = parse_json(line)
                keys[str(row["id"])] = str(row["key"])
            except (InvalidText, KeyError, TypeError):
                continue
        return {name: (record, keys[name]) for name, record in records.items() if name in keys}


def _lines(file: Path) -> list[str]:
    return [line for _, line in numbered_lines(file) if isinstance(line, str)] if file.is_file() else []


def _end_line(file: Path) -> None:
    """End an unfinished last line of the file, so that what is appended begins a new line."""
    if file.is_file() and (data := file.read_bytes()) and not data.endswith(b"\n"):
        with file.open("ab") as out:
            out.write(b"\n")


def _replace(file: Path, lines: list[str]) -> None:
    scratch = file.with_suffix(".part")
    scratch.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    scratch.replace(file)
