"""The events of a stream as typed objects, over as many connections as it takes.

A stream of a summary that is cut off cannot be continued where it was: the service stops the work when its client is
gone, and the events have no ids. The request is repeated under the same `Idempotency-Key`, and the summary is written
again. As long as the new text is that of the first try, which greedy decoding mostly writes, it is not handed out
twice. If it differs, a `RestartEvent` says that what was handed out before is void. The answers to questions come after
the summary. After a repeat, no answer is handed out twice, and the pieces of one that had begun are not continued: the
whole answer follows.

Knows nothing about HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from speechsum_client.answers import AnswerDeltaEvent, AnswerEvent, DeltaEvent, ErrorDetail, ProgressEvent, Summary
from speechsum_client.errors import InvalidAnswer, service_error

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True)
class RestartEvent:
    """The connection was lost, and the summary is written anew with a different text: the pieces so far are void, and
    so are the answers to questions.

    discarded: the text that they were.
    """

    discarded: str


SummaryEvent = ProgressEvent | DeltaEvent | RestartEvent | AnswerDeltaEvent | AnswerEvent | Summary


class SummaryStream:
    """Puts the events of one summary together.

    Attributes:
        text: What was handed out so far and is not void.
        is_done: Whether the whole summary has come.
    """

    def __init__(self) -> None:
        self.text = ""
        self.is_done = False
        self._begun_answers: set[int] = set()  # those of which pieces were handed out
        self._broken_answers: set[int] = set()  # those of them that began over a connection that was lost
        self._complete_answers: set[int] = set()
        self._repeated: str | None = None  # what a repeat has written, as long as it is the beginning of `text`

    def begin(self) -> None:
        """Begin a connection, the first one or the next."""
        self._broken_answers = set(self._begun_answers)
        self._repeated = "" if self.text else None

    def read(self, data: str) -> Iterator[SummaryEvent]:
        """Yield what the data of one event means for the caller. Events of later services are skipped.

        Raises: ServiceError if the service reports an error, InvalidAnswer if the data is not an event.
        """
        event = parse_object(data)
        kind = event.get("object")
        if kind == "audio.summary.progress":
            yield parse_event(ProgressEvent, event)
        elif kind == "audio.summary.delta":
            yield from self._take(parse_event(DeltaEvent, event))
        elif kind == "audio.summary.answer.delta":
            piece = parse_event(AnswerDeltaEvent, event)
            if piece.index not in self._broken_answers:
                self._begun_answers.add(piece.index)
                yield piece
        elif kind == "audio.summary.answer":
            answer = parse_event(AnswerEvent, event)
            if answer.index not in self._complete_answers:
                self._complete_answers.add(answer.index)
                yield answer
        elif kind == "audio.summary.done":
            summary = parse_event(Summary, event)
            if self._repeated is not None and self._repeated != self.text:  # the new text is shorter
                yield from self._restart(summary, self._repeated)
            self.is_done = True
            yield summary

    def _take(self, event: DeltaEvent) -> Iterator[SummaryEvent]:
        if self._repeated is None:
            self.text += event.delta
            yield event
            return
        self._repeated += event.delta
        if self.text.startswith(self._repeated):
            return
        if self._repeated.startswith(self.text):
            new, self.text = self._repeated[len(self.text) :], self._repeated
            self._repeated = None
            yield event.model_copy(update={"delta": new})
        else:
            yield from self._restart(event, self._repeated)

    def _restart(self, event: DeltaEvent | Summary, text: str) -> Iterator[SummaryEvent]:
        yield RestartEvent(self.text)
        for answers in (self._begun_answers, self._broken_answers, self._complete_answers):
            answers.clear()
        self.text, self._repeated = text, None
        if text:
            facts = {"id": event.id, "created": event.created, "model": event.model}
            yield DeltaEvent(object="audio.summary.delta", delta=text, **facts)


def parse_object(data: str) -> dict[str, Any]:
    """Return the JSON object in an event. Raises InvalidAnswer if it is none, ServiceError if it is an error."""
    try:
        event = json.loads(data)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise InvalidAnswer(f"An event of the stream is no JSON object: {data[:200]!r}.")
    if "error" in event and "object" not in event:
        raise service_error(parse_event(ErrorDetail, event["error"]))
    return event


def parse_event(kind: type[ModelT], event: Any) -> ModelT:
    """Return an event as a model. Raises InvalidAnswer if it is something else."""
    try:
        return kind.model_validate(event)
    except ValidationError as error:
        raise InvalidAnswer(f"An event of the stream is no {kind.__name__}: {error}") from error
