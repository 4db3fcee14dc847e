"""A file of a judge's verdicts, one line of JSON each, written when they arrive.

A run that ended early, or whose judge failed on some rows, can be started again and asks only for the missing verdicts.
A verdict is stored under the SHA-256 of judge and question, so that it is never used for another judge or another
summary. Knows nothing about what is asked.
"""

import hashlib
import json
from pathlib import Path
from threading import Lock
from typing import Any


class VerdictCache:
    """The judge's answers by question. Safe for several threads. Without a file they last as long as the object."""

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
                continue  # the half line of a run that was killed while it wrote
        if data and not data.endswith(b"\n"):  # end the half line
            with file.open("ab") as out:
                out.write(b"\n")

    @staticmethod
    def key(model: str, messages: Any, shape: str) -> str:
        """Return the key of a question. shape: the name of the schema that the answer follows."""
        question = json.dumps([model, messages, shape], sort_keys=True)
        return hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()

    def get(self, key: str) -> str | None:
        """Return the answer to a question, or None if there is none."""
        return self._answers.get(key)

    def put(self, key: str, answer: str) -> None:
        """Keep an answer, also in the file. Raises OSError if the file cannot be written."""
        with self._lock:
            self._answers[key] = answer
            if self._file:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with self._file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps({"key": key, "answer": answer}) + "\n")
