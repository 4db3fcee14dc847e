"""A file of a judge's verdicts, one JSON line each, written the moment they come.

A run that ends early, or one whose judge failed on some rows, is started again and asks only for what is missing. A
verdict belongs to the SHA-256 of judge and question, so that another judge or another summary is never taken for it.
Knows nothing about what is asked.
"""

import hashlib
import json
from pathlib import Path
from threading import Lock
from typing import Any


class VerdictCache:
    """Answers by question. Used by several threads at once. Without a file they last as long as the object."""

    def __init__(self, file: Path | None = None) -> None:
        self._file, self._lock = file, Lock()
        self._answers: dict[str, str] = {}
        if file is None or not file.is_file():
            return
        data = file.read_bytes()
        for line in data.decode("utf-8", "replace").split("\n"):
            try:
                row = json.loads(line)
                self._answers[str(row["key"])] = str(row["answer"])
            except (ValueError, KeyError, TypeError):
                continue  # the last line of a run that was ended while it wrote
        if data and not data.endswith(b"\n"):  # what comes next begins a line of its own
            with file.open("ab") as out:
                out.write(b"\n")

    @staticmethod
    def key(model: str, messages: Any, shape: str) -> str:
        """What a verdict is kept under. shape: the name of what the judge was asked for."""
        asked = json.dumps([model, messages, shape], sort_keys=True)
        return hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()

    def get(self, key: str) -> str | None:
        """The answer that was kept, or None."""
        return self._answers.get(key)

    def put(self, key: str, answer: str) -> None:
        """Keep an answer, in the file too."""
        with self._lock:
            self._answers[key] = answer
            if self._file:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with self._file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps({"key": key, "answer": answer}) + "\n")
