"""The parts of a typed summary. Names and fields are as `speechsum_client.answers` says."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AnswerModel(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class StyleEcho(AnswerModel):
    """The style as the service understood it, and the instruction that the model got."""

    style: str
    length: str | None = None
    focus: str | None = None
    language: str | None = None
    tone: str | None = None
    instructions: str | None = None
    instruction: str


class SourceTime(AnswerModel):
    """A part of the recording, in seconds from its start."""

    start: float
    end: float


class AudioFacts(AnswerModel):
    """Facts about the recording. Times are in seconds, the sampling rate is in Hz.

    speech: where somebody speaks; empty from a service that does not say it.
    language, language_probability, recognizer_log_probability: what the recognizer of a cascade heard; else None.
    """

    seconds: float
    summarized_seconds: float
    speech_seconds: float
    speech: list[SourceTime] = []
    encoder_windows: int
    complete: bool
    format: str
    sample_rate: int
    channels: int
    language: str | None = None
    language_probability: float | None = None
    recognizer_log_probability: float | None = None


class WindowFacts(AnswerModel):
    """A part of the recording that was read in one pass. Times are in seconds from the recording's beginning.

    note: the model's notes about this window; None if the whole recording was read in one pass.
    """

    index: int
    start: float
    end: float
    note: str | None = None


class CitedSentence(AnswerModel):
    """A sentence of the summary, `summary[start:end]`, and where it comes from.

    windows: indices of the windows. times: the parts of the recording; empty from a service that does not send them.
    """

    start: int
    end: int
    text: str
    windows: list[int]
    times: list[SourceTime] = Field(default_factory=list)


class UnsupportedSpan(AnswerModel):
    """A part of the summary, `summary[start:end]`, that was not heard. kind: name, number, date or time.

    in_context: whether `context` or `vocabulary` of the request has it.
    """

    start: int
    end: int
    text: str
    kind: str
    in_context: bool = False


class TranscriptSegment(AnswerModel):
    """A segment of the transcript. Times are in seconds from the recording's beginning.

    avg_logprob: mean log-probability of the recognizer's tokens, near 0 if it was sure. no_speech_prob: probability
    that nobody speaks.
    """

    id: int
    start: float
    end: float
    text: str
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class Transcript(AnswerModel):
    """What was said, as far as the recognizer understood it.

    text: in the `format` that was asked for; with `verbose_json` it is plain text, and `segments` have the times.
    language: that is spoken, as a BCP 47 tag; None if nothing was heard.
    """

    format: str
    language: str | None = None
    text: str
    segments: list[TranscriptSegment] | None = None


class QuestionAnswer(AnswerModel):
    """The answer to one question of a request. Places in `citations` and `unsupported` are those in `answer`."""

    question: str
    answer: str
    finish_reason: str
    citations: list[CitedSentence]
    unsupported: list[UnsupportedSpan] | None = None


class Usage(AnswerModel):
    """Numbers of tokens that the model has read, audio tokens included, and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
