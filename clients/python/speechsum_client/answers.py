"""The typed answers of the service, with the names that its OpenAPI document gives to them.

A field that this package does not know, from a later service, is kept as an attribute. What the document lists as one
of several words is a `str` here, so that a later service may know more of them. Knows nothing about HTTP.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field, PrivateAttr, ValidationError

from speechsum_client.answer_parts import (
    AnswerModel,
    AudioFacts,
    CitedSentence,
    QuestionAnswer,
    StyleEcho,
    Transcript,
    UnsupportedSpan,
    Usage,
    WindowFacts,
)
from speechsum_client.errors import SchemaMismatch
from speechsum_client.kept_recordings import RecordingIdText

ModelT = TypeVar("ModelT", bound=BaseModel)
FINAL_STATES = frozenset(("succeeded", "failed", "cancelled"))


class Summary(AnswerModel):
    """A finished summary. It is also the last event of a stream.

    Attributes:
        summary: The text; empty if nobody speaks.
        finish_reason: stop, length, repetition, no_speech or not_understood.
        complete: Whether every second of speech was read.
        warnings: What a reader of the summary should know, one sentence each.
        kind: An `audio-llm` has heard the recording itself; a `cascade` has read a transcript of it.
        structured: The summary as data, if it was asked for.
        unsupported: What the summary says and nobody said; None if the model cannot say what it heard.
        transcript: The transcript, if it was asked for.
        answers: The answers to the `questions`.
        recording_id: Takes the recording's place in further requests; None if it is not kept.
        expires_at: Unix time until which it is kept.
        template: Name of the template that was applied, with `auto` the chosen one; None if there was none.
        timings: Seconds by stage.
        rtfx: Seconds of audio per second of work.
        created: Unix time.
    """

    id: str
    object: str = "audio.summary"
    created: int
    model: str
    kind: str
    summary: str
    finish_reason: str
    audio_seconds: float
    complete: bool
    structured: Any = None
    windows: list[WindowFacts]
    citations: list[CitedSentence]
    unsupported: list[UnsupportedSpan] | None = None
    transcript: Transcript | None = None
    answers: list[QuestionAnswer] = Field([])
    recording_id: RecordingIdText | None = None
    expires_at: int | None = None
    template: str | None = None
    style: StyleEcho
    audio: AudioFacts
    usage: Usage
    timings: dict[str, float]
    rtfx: float
    warnings: list[str]

    def parse(self, kind: type[ModelT]) -> ModelT:
        """Return `structured` as a Pydantic model. Raises SchemaMismatch if it does not fit, or if there is none."""
        if self.structured is None:
            reasons = " ".join(self.warnings) or f"The summary ended by {self.finish_reason}."
            raise SchemaMismatch(f"The answer has no structured data. {reasons}", self)
        try:
            return kind.model_validate(self.structured)
        except ValidationError as error:
            raise SchemaMismatch(f"The structured data does not fit {kind.__name__}: {error}", self) from error


class ParsedSummary(Summary, Generic[ModelT]):
    """A summary that was asked for with a Pydantic model as its schema."""

    _data: ModelT | None = PrivateAttr(None)

    @property
    def data(self) -> ModelT | None:
        """The summary as that model. None if there is none: nobody speaks, or `warnings` say why."""
        return self._data

    @classmethod
    def of(cls, summary: Summary, kind: type[ModelT]) -> ParsedSummary[ModelT]:
        """Return the summary with its data parsed. Raises SchemaMismatch if the data does not fit."""
        values = {name: value for name, value in summary}
        parsed: ParsedSummary[ModelT] = ParsedSummary.model_construct(set(summary.model_fields_set), **values)
        parsed._data = None if summary.structured is None else summary.parse(kind)
        return parsed


class ProgressEvent(AnswerModel):
    """An event of a stream: a stage has begun, or `done` of its `of` parts are done."""

    id: str
    object: str
    created: int
    model: str
    stage: str
    done: int | None = None
    of: int | None = None


class DeltaEvent(AnswerModel):
    """An event of a stream: a piece of the summary."""

    id: str
    object: str
    created: int
    model: str
    delta: str


class AnswerDeltaEvent(AnswerModel):
    """An event of a stream: a piece of the answer to a question. index: the question's number, from 0."""

    id: str
    object: str
    created: int
    model: str
    index: int
    delta: str


class AnswerEvent(QuestionAnswer):
    """An event of a stream: the answer to a question is complete. index: the question's number, from 0."""

    id: str
    object: str
    created: int
    model: str
    index: int


class RecordingInfo(AnswerModel):
    """A recording that the service keeps. Times of day are in seconds since the Unix epoch.

    kept: `transcript`, which only cascades can read, or `audio`. bytes: that it takes. model: that heard it.
    """

    id: RecordingIdText
    object: str = "audio.recording"
    created: int
    expires_at: int
    kept: str
    bytes: int
    model: str
    audio_seconds: float
    speech_seconds: float
    format: str


class ErrorDetail(AnswerModel):
    """An error, as the service describes it."""

    message: str
    type: str = ""
    param: str | None = None
    code: str = "unknown"


class JobProgress(AnswerModel):
    """The stage that a job is in; `done` of its `of` parts are done, if it has parts."""

    stage: str
    done: int | None = None
    of: int | None = None


class WebhookFacts(AnswerModel):
    """The webhook of a job, and the state of its delivery: waiting, pending, delivered or dead."""

    url: str
    state: str
    attempts: int = 0
    said: str | None = None


class JobInfo(AnswerModel):
    """A queued recording, and its summary once that is made. Times are in seconds since the Unix epoch.

    state: queued, running, succeeded, failed or cancelled. summary: left out of lists. expires: when the job and its
    result are deleted.
    """

    id: str
    object: str = "audio.summary.job"
    state: str
    created: int
    started: int | None = None
    finished: int | None = None
    expires: int | None = None
    audio_bytes: int
    attempts: int
    progress: JobProgress | None = None
    summary: Summary | None = None
    error: ErrorDetail | None = None
    webhook: WebhookFacts | None = None

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.state in FINAL_STATES


class JobPage(AnswerModel):
    """A page of jobs, newest first. The next page is the one `after` the `last_id` of this one."""

    object: str = "list"
    data: list[JobInfo]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool


class ChatMessage(AnswerModel):
    """The message that answers."""

    role: str
    content: str


class ChatChoice(AnswerModel):
    """One answer."""

    index: int
    message: ChatMessage
    finish_reason: str


class ChatCompletion(AnswerModel):
    """The answer to a question. speechsum: everything that a summary would have said."""

    id: str
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    speechsum: Summary
