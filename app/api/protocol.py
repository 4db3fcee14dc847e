"""The typed responses of the HTTP interface. Knows nothing about how their contents are made."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.transcript_protocol import Transcript, transcript_facts
from app.core.audio.vad import MAX_JOINED_SPANS, MIN_PAUSE_S, join_close_spans, speech_seconds
from app.core.prompts import Style
from app.core.text.unsupported import Unsupported
from app.engine.base import FinishReason
from app.engine.model_info import ModelInfo
from app.summarize.answers import Answer
from app.summarize.citations import Citation
from app.summarize.recognition_warnings import overall_recognition
from app.summarize.request import Summary


class ResponseModel(BaseModel):
    """A response, or a part of one. All fields are always sent, even those with a default, and OpenAPI says so."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class StyleEcho(Style, ResponseModel):
    """The style that was used, and the instruction in words."""

    instruction: str = Field(description="The instruction that the model got.")


class SourceTime(ResponseModel):
    """A part of the recording, in seconds from its start."""

    start: float
    end: float


class AudioFacts(ResponseModel):
    """Facts about the recording. Times are in seconds."""

    seconds: float = Field(description="Length of the recording received.")
    summarized_seconds: float = Field(description="How much of it the model read; 0 if there was no speech.")
    speech_seconds: float = Field(description="How much of it is speech.")
    speech: list[SourceTime] = Field(
        description=f"Where somebody speaks. A pause of less than {MIN_PAUSE_S} s does not end a span. If there are "
        f"more than {MAX_JOINED_SPANS} spans, longer pauses do not end one either."
    )
    encoder_windows: int = Field(description="Number of windows of the model's audio encoder.")
    complete: bool = Field(description="Whether every second of speech was read.")
    format: str = Field(description="Container format, detected from the content.")
    sample_rate: int = Field(description="Sampling rate of the recording received, in Hz.")
    channels: int = Field(description="Number of channels of the recording received.")
    language: str | None = Field(
        None, description="BCP 47 tag of the spoken language, as detected by the recognizer of a cascade; else null."
    )
    language_probability: float | None = Field(None, description="Probability of that language, from 0 to 1.")
    recognizer_log_probability: float | None = Field(
        None,
        description="Mean log-probability of the recognizer's tokens: near 0 if it was sure, about -1 if it guessed.",
    )


class WindowFacts(ResponseModel):
    """A part of the recording that was read in one pass. Times are in seconds from the recording's beginning."""

    index: int = Field(description="Number of the window, from 1. Citations name it.")
    start: float
    end: float
    note: str | None = Field(
        description="The model's notes about this window; null if the whole recording was read in one pass."
    )


class CitedSentence(ResponseModel):
    """A sentence or bullet of the summary with its source. It is `summary[start:end]`, in Unicode code points."""

    start: int
    end: int
    text: str
    windows: list[int] = Field(
        description="The windows whose notes share the most words with it; empty if no notes share enough of them, or "
        "if the recording was read in one pass."
    )
    times: list[SourceTime] = Field(
        default_factory=list,
        description="The parts of the recording that it comes from: those windows, or the part that a cascade "
        "summarized in this section of its answer.",
    )


class UnsupportedSpan(ResponseModel):
    """A part of the summary that was not heard. It is `summary[start:end]`, in Unicode code points."""

    start: int
    end: int
    text: str = Field(description="The part itself; if `summary` is JSON, without escapes.")
    kind: Literal["name", "number", "date", "time"]
    in_context: bool = Field(
        False, description="Whether `context` or `vocabulary` of the request has it, though it was not heard."
    )


class QuestionAnswer(ResponseModel):
    """The answer to one of the request's questions. Places are those in `answer`, in Unicode code points."""

    question: str
    answer: str = Field(description="The answer; empty if there was no speech.")
    finish_reason: FinishReason = Field(description="As that of the summary.")
    citations: list[CitedSentence] = Field(
        description="The source of each sentence, if the recording was read in several windows, or the answer is "
        "written in sections."
    )
    unsupported: list[UnsupportedSpan] | None = Field(
        None,
        description="What was heard neither in the recording nor named in the question; null if the model cannot say.",
    )


class Usage(ResponseModel):
    """Numbers of tokens that the model has read, audio tokens included, and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class SummaryResponse(ResponseModel):
    """A finished summary. As the last event of a stream its `object` is `audio.summary.done`."""

    id: str
    object: Literal["audio.summary", "audio.summary.done"] = "audio.summary"
    created: int = Field(description="Unix time.")
    model: str = Field(description="`name@version` of the model that wrote the summary, or the name of the adapter.")
    kind: str = Field(
        description="An `audio-llm` has heard the recording itself; a `cascade` has read a transcript of it."
    )
    summary: str = Field(description="The summary; empty if there was no speech.")
    finish_reason: FinishReason = Field(
        description="`stop`: the summary is complete; `length`: it reached `max_tokens`; `repetition`: the model "
        "began to repeat itself and was stopped; `no_speech`: there was nothing to summarize; `not_understood`: "
        "somebody speaks, but the recognizer was too unsure of every word, and nothing was made up."
    )
    audio_seconds: float = Field(description="Length of the recording received, in seconds.")
    complete: bool = Field(description="Whether every second of speech was read.")
    structured: Any = Field(
        description="With `response_format=json`, the summary as data that follows the schema. If the answer breaks "
        "off, it is closed at that point if the schema allows that, and else null; `warnings` then say which."
    )
    windows: list[WindowFacts] = Field(
        description="The passes in which the recording was read: one, or for a recording that is longer than the "
        "model's longest pass several, which were cut in pauses and whose notes were merged."
    )
    citations: list[CitedSentence] = Field(
        description="The source of each sentence, if the recording was read in several windows, or the answer is "
        "written in sections."
    )
    unsupported: list[UnsupportedSpan] | None = Field(
        None,
        description="Names, numbers, dates and times in the summary that were not heard in the recording and not named "
        "in the request; empty if there are none, null if the model cannot say what it heard. With "
        "`response_format=json` the places are those in `summary`.",
    )
    transcript: Transcript | None = Field(
        None, description="The transcript, if the request asks for it with `transcript`; else null."
    )
    answers: list[QuestionAnswer] = Field([], description="The answers to the `questions`, in their order.")
    recording_id: str | None = Field(
        None, description="By which further requests name the recording; null if it is not kept."
    )
    expires_at: int | None = Field(None, description="Unix time until which the recording is kept.")
    template: str | None = Field(
        None, description="Name of the template that was applied, with `template=auto` the chosen one; else null."
    )
    style: StyleEcho
    audio: AudioFacts
    usage: Usage
    timings: dict[str, float] = Field(
        description="Seconds by stage: receive, decode, speech (voice activity detection), queue, engine_prefill, "
        "engine_decode, overhead (of the service itself), total. For a recording that was read in windows, `long` is "
        "the time of queue, engine_prefill and engine_decode together, and these are those of the last answer. With "
        "`effort=high`, `sampling` is the time of all this for all summaries that were written, and `choosing` that of "
        "the choice; `questions` is the time of all answers. A stage that was not needed, such as the decoding of a "
        "kept recording, is missing. Also sent in the header `Server-Timing`."
    )
    rtfx: float = Field(
        description="Seconds of audio per second of work, without the time of the upload and in the queue."
    )
    warnings: list[str] = Field(description="What a reader of the summary should know about it.")


class ErrorDetail(ResponseModel):
    """An error. `code` is stable; `param` is the field that caused the error."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorResponse(ResponseModel):
    """An error response, in OpenAI's shape."""

    error: ErrorDetail


class Health(ResponseModel):
    """The service is alive, or ready."""

    status: Literal["ok"] = "ok"
    model: str


def summary_response(summary: Summary, model: ModelInfo, created: int, *, done: bool = False) -> SummaryResponse:
    """Return a finished summary as the caller reads it.

    Args:
        model: the model that wrote it.
        created: Unix time, in seconds.
        done: whether this is the last event of a stream.
    """
    audio = summary.audio
    return SummaryResponse(
        id=summary.request.id,
        object="audio.summary.done" if done else "audio.summary",
        created=created,
        model=summary.request.adapter.name if summary.request.adapter else model.id,
        kind=model.kind,
        summary=summary.text,
        finish_reason=summary.finish_reason,
        audio_seconds=round(audio.seconds, 3),
        complete=summary.complete,
        structured=summary.choices[0].structured,
        windows=[
            WindowFacts(
                index=index,
                start=round(one.window.start, 3),
                end=round(one.window.end, 3),
                note=one.note,
            )
            for index, one in enumerate(summary.window_results, 1)
        ],
        citations=_cited_sentences(summary.text, summary.choices[0].citations),
        unsupported=_unsupported_spans(summary.choices[0].unsupported),
        transcript=transcript_facts(summary),
        answers=[question_answer(one) for one in summary.answers],
        recording_id=summary.kept.id if summary.kept else None,
        expires_at=int(summary.kept.expires) if summary.kept else None,
        template=summary.request.template.name if summary.request.template else None,
        style=StyleEcho(**summary.request.style.model_dump(), instruction=summary.request.instruction),
        audio=AudioFacts(
            seconds=round(audio.seconds, 3),
            summarized_seconds=round(summary.summarized_seconds, 3),
            speech_seconds=round(speech_seconds(summary.speech_spans), 3),
            speech=[
                SourceTime(start=round(start, 2), end=round(end, 2))
                for start, end in join_close_spans(summary.speech_spans)
            ],
            encoder_windows=summary.encoder_windows,
            complete=summary.complete,
            format=audio.source_format,
            sample_rate=audio.source_rate,
            channels=audio.source_channels,
            **_recognition_facts(summary),
        ),
        usage=token_usage(summary),
        timings={stage: round(seconds, 6) for stage, seconds in summary.timings.items()},
        rtfx=round(summary.rtfx, 3),
        warnings=summary.warnings,
    )


def question_answer(answer: Answer) -> QuestionAnswer:
    """Return the answer to a question as the caller reads it."""
    return QuestionAnswer(
        question=answer.question,
        answer=answer.text,
        finish_reason=answer.finish_reason,
        citations=_cited_sentences(answer.text, answer.citations),
        unsupported=_unsupported_spans(answer.unsupported),
    )


def _cited_sentences(text: str, citations: Sequence[Citation]) -> list[CitedSentence]:
    return [
        CitedSentence(
            start=one.start,
            end=one.end,
            text=text[one.start : one.end],
            windows=list(one.windows),
            times=[SourceTime(start=round(start, 3), end=round(end, 3)) for start, end in one.times],
        )
        for one in citations
    ]


def _unsupported_spans(spans: Sequence[Unsupported] | None) -> list[UnsupportedSpan] | None:
    return None if spans is None else [UnsupportedSpan(**asdict(span)) for span in spans]


def _recognition_facts(summary: Summary) -> dict[str, Any]:
    """Return the fields of `AudioFacts` that come from the recognizer; none if there was no recognizer."""
    recognition = overall_recognition(summary.window_results)
    if recognition is None:
        return {}
    log_probability = recognition.log_probability
    return {
        "language": recognition.language,
        "language_probability": round(recognition.language_probability, 3),
        "recognizer_log_probability": None if log_probability is None else round(log_probability, 3),
    }


def token_usage(summary: Summary) -> Usage:
    """Return the numbers of tokens that a summary took."""
    prompt, completion = summary.prompt_tokens, summary.completion_tokens
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def server_timing(timings: dict[str, float]) -> dict[str, str]:
    """Return the header in which browsers show the stages (W3C Server Timing), in milliseconds. timings: in seconds."""
    stages = [f"{stage};dur={1000 * seconds:.3f}" for stage, seconds in timings.items()]
    return {"server-timing": ", ".join(stages)}
