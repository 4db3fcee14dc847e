"""One training example: what is said, what is asked, the summary, and the facts by which any summary of it can be
counted.

A record is one line of the JSONL data files. Knows nothing about how it was generated, spoken or trained on.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from training.facts import Fact

Split = Literal["train", "dev", "test"]
PAIR = ("chosen", "rejected")


@dataclass
class Record:
    """`turns` are (speaker index, text) in order; their texts joined with spaces are `transcript`. `audio` (a path
    relative to the data file), `duration_s` (seconds) and `voice` are None until the text has been spoken; `chosen` and
    `rejected`, two answers of which the first is the better, until a model has written them (`training.pairs`)."""

    id: str
    register: str
    split: Split
    transcript: str
    style: dict[str, Any]
    query: str
    summary: str
    facts: list[Fact]
    turns: list[tuple[int, str]]
    words: int
    names: list[str] = field(default_factory=list)
    language: str = "en"
    license: str = "CC0-1.0"
    audio: str | None = None
    duration_s: float | None = None
    voice: str | None = None
    chosen: str | None = None
    rejected: str | None = None

    def to_json(self) -> str:
        """The record as one line of JSON."""
        known = {name: value for name, value in asdict(self).items() if value is not None or name not in PAIR}
        return json.dumps(known, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> "Record":
        """The inverse of `to_json`."""
        data = json.loads(line)
        data["facts"] = [Fact.from_json(f) for f in data["facts"]]
        data["turns"] = [(int(speaker), str(text)) for speaker, text in data["turns"]]
        return cls(**data)
