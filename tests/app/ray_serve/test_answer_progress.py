"""A repeated answer goes on where the lost one has stopped, or fails if it is another one."""

import pytest

from app.core.errors import Unavailable
from app.engine.base import EngineEvent, GenerationFinished, StageStarted, TextDelta
from app.ray_serve.answer_progress import AnswerProgress

FINISHED = GenerationFinished("stop", 9, 3)


def progress_after(*texts: str) -> AnswerProgress:
    progress = AnswerProgress(Unavailable("It was lost.", code="engine_lost"))
    progress.restart()
    events: list[EngineEvent] = [StageStarted("prefill"), *map(TextDelta, texts)]
    assert [new for event in events for new in progress.new_events(event)] == events
    progress.restart()
    return progress


def test_what_was_sent_is_not_sent_again() -> None:
    progress = progress_after("Anna ", "calls ")
    repeated = [
        StageStarted("prefill"),
        StageStarted("decode"),
        TextDelta("An"),
        TextDelta("na calls on"),
        TextDelta("."),
    ]
    new = [new for event in [*repeated, FINISHED] for new in progress.new_events(event)]
    assert new == [StageStarted("decode"), TextDelta("on"), TextDelta("."), FINISHED]


def test_it_may_be_lost_again() -> None:
    progress = progress_after("Anna ", "calls.")
    assert progress.new_events(TextDelta("Anna")) == []
    progress.restart()
    assert progress.new_events(TextDelta("Anna calls. Bye.")) == [TextDelta(" Bye.")]


def test_another_answer_is_an_error() -> None:
    with pytest.raises(Unavailable):
        progress_after("Anna calls.").new_events(TextDelta("Bob"))
    shorter = progress_after("Anna calls.")
    assert shorter.new_events(TextDelta("Anna")) == []
    with pytest.raises(Unavailable):
        shorter.new_events(FINISHED)
