"""The typed events of a streamed summary, before its last one, which is the summary itself.

Knows nothing about how they are sent.
"""

from typing import Literal

from pydantic import Field

from app.api.protocol import QuestionAnswer, ResponseModel, question_answer
from app.summarize.answers import AnswerDelta, AnswerFinished
from app.summarize.request import StageProgress, SummaryEvent


class ProgressEvent(ResponseModel):
    """A stage has begun, or a part of it is done."""

    id: str
    object: Literal["audio.summary.progress"] = "audio.summary.progress"
    created: int
    model: str
    stage: str = Field(
        description="received, decode, speech, template (with `template=auto`), queue, and then the stages of the "
        "engine: engine_prefill, engine_decode …; for a recording longer than one pass, windows and merge before "
        "these. With `effort=high`, sampling while the summaries are written, and choosing; with `questions`, "
        "questions."
    )
    done: int | None = Field(None, description="Number of the stage's parts that are done, if it has parts.")
    of: int | None = Field(None, description="Number of the stage's parts.")


class DeltaEvent(ResponseModel):
    """A piece of the summary. All pieces in order are the summary."""

    id: str
    object: Literal["audio.summary.delta"] = "audio.summary.delta"
    created: int
    model: str
    delta: str


class AnswerDeltaEvent(ResponseModel):
    """A piece of the answer to one question. All pieces of one index in order are that answer."""

    id: str
    object: Literal["audio.summary.answer.delta"] = "audio.summary.answer.delta"
    created: int
    model: str
    index: int = Field(description="Number of the question, from 0.")
    delta: str


class AnswerEvent(QuestionAnswer):
    """The answer to one question is complete."""

    id: str
    object: Literal["audio.summary.answer"] = "audio.summary.answer"
    created: int
    model: str
    index: int = Field(description="Number of the question, from 0.")


StreamEvent = ProgressEvent | DeltaEvent | AnswerDeltaEvent | AnswerEvent


def stream_event(event: SummaryEvent, *, id_: str, created: int, model: str) -> StreamEvent:
    """Return an event of the work on a summary as the caller reads it. The other arguments are the summary's own."""
    if isinstance(event, StageProgress):
        return ProgressEvent(id=id_, created=created, model=model, stage=event.stage, done=event.done, of=event.total)
    if isinstance(event, AnswerDelta):
        return AnswerDeltaEvent(id=id_, created=created, model=model, index=event.question_index, delta=event.text)
    if isinstance(event, AnswerFinished):
        answer = question_answer(event.answer).model_dump()
        return AnswerEvent(id=id_, created=created, model=model, index=event.question_index, **answer)
    return DeltaEvent(id=id_, created=created, model=model, delta=event.text)
