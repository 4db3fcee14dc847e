"""What a check found."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        check: The name of the check, in a word.
        level: A problem stops the service; a warning makes it worse.
        message: What was found, as a sentence.
        remedy: What to do about it; empty if nothing has to be done.
    """

    check: str
    level: Level
    message: str
    remedy: str = ""
