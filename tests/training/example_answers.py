"""A record whose facts are counted, told by Anna, for tests of which answer to it is the better."""

from pathlib import Path
from typing import Any

from tests.training.tiny_checkpoints import record
from training.data.record import Record
from training.facts.coverage import Fact

GOOD = "Anna wants two pumps on Monday."


def told_by_anna(folder: Path, samples: Any) -> Record:
    """The record; with samples, spoken."""
    facts = [
        Fact("who", "Anna", core=True),
        Fact("when", "Monday"),
        Fact("amount", "two pumps"),
        Fact("where", "Leeds"),
    ]
    said = "Anna here. Two pumps on Monday, in Leeds, please."
    return record(1, folder, samples, "", transcript=said, facts=facts, style={"style": "headline"})
