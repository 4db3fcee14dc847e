"""What the caller of an answer has got so far, so that a repetition of the answer sends only what is new.

Knows nothing about Ray.
"""

from app.core.errors import ServiceError
from app.engine.base import EngineEvent, GenerationFinished, StageStarted, TextDelta


class AnswerProgress:
    """The stages and the text that were sent. difference: the error if a repetition is another answer."""

    def __init__(self, difference: ServiceError) -> None:
        self._difference = difference
        self._stages: set[str] = set()
        self._sent = ""
        self._read = ""  # of this repetition

    def restart(self) -> None:
        """Begin a repetition, or the first time."""
        self._read = ""

    def new_events(self, event: EngineEvent) -> list[EngineEvent]:
        """Return what is new in an event. Raises the error if the text differs from what was sent."""
        if isinstance(event, StageStarted):
            if event.stage in self._stages:
                return []
            self._stages.add(event.stage)
        elif isinstance(event, TextDelta):
            self._read += event.text
            common = min(len(self._sent), len(self._read))
            if self._sent[:common] != self._read[:common]:
                raise self._difference
            new = self._read[len(self._sent) :]
            self._sent += new
            return [TextDelta(new)] if new else []
        elif isinstance(event, GenerationFinished) and len(self._read) < len(self._sent):
            raise self._difference
        return [event]
