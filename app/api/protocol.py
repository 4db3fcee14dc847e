"""The typed answers of the HTTP interface. Knows nothing about how they come about."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.core.prompts import Style
from app.engine.base import FinishReason
from app.engine.model_info import ModelInfo
from app.models.loaded_model import LoadedModel, State
from app.summarize.recognition_warnings import overall_recognition
from app.summarize.request import Summary


class ResponseModel(BaseModel):
    """A part of an answer. Every field of it is always sent, those with a default too, and OpenAPI says so."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class StyleEcho(Style, ResponseModel):
    """The style as understood, and the instruction it was worded as."""

    instruction: str = Field(description="What the model was told.")


class AudioFacts(ResponseModel):
    """What was heard. Times in seconds."""

    seconds: float = Field(description="Length of the recording received.")
    summarized_seconds: float = Field(description="How much of it the model heard; 0 where there was no speech.")
    speech_seconds: float = Field(description="How much of it is speech.")
    encoder_windows: int = Field(description="Windows of the model's encoder that it filled.")
    complete: bool = Field(description="Whether every second of speech was read.")
    format: str = Field(description="Container, told by content.")
    sample_rate: int = Field(description="Of the recording received, in Hz.")
    channels: int = Field(description="Of the recording received.")
    language: str | None = Field(
        None, description="BCP 47 tag of the language spoken, as a cascade's recognizer told it; null where none did."
    )
    language_probability: float | None = Field(None, description="How probable that language is.")
    recognizer_log_probability: float | None = Field(
        None,
        description="Mean log-probability of the recognizer's tokens: near 0 where it was sure, -1 where it guessed.",
    )


class WindowFacts(ResponseModel):
    """A stretch of the recording that was read in one pass. Times in seconds from its beginning."""

    index: int = Field(description="From 1; what citations name.")
    start: float
    end: float
    note: str | None = Field(description="What was noted down of it; null where the whole was read in one pass.")


class CitedSentence(ResponseModel):
    """A sentence or bullet of the summary, `summary[start:end]` in Unicode code points, and where it comes from."""

    start: int
    end: int
    text: str
    windows: list[int] = Field(
        description="Windows whose notes it shares most words with; empty where it shares too few with any."
    )


class Usage(ResponseModel):
    """Tokens read (audio tokens included) and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class SummaryResponse(ResponseModel):
    """A finished summary. As the last event of a stream its `object` is `audio.summary.done`."""

    id: str
    object: Literal["audio.summary", "audio.summary.done"] = "audio.summary"
    created: int = Field(description="Unix time.")
    model: str = Field(description="`name@version` of the model that wrote it, or the name of its adapter.")
    kind: str = Field(description="`audio-llm` heard the recording itself; `cascade` read a transcript of it.")
    summary: str = Field(description="Empty where there was no speech.")
    finish_reason: FinishReason = Field(
        description="`stop`: it said all it wanted; `length`: it met `max_tokens`; `repetition`: it began to repeat "
        "itself and was stopped; `no_speech`: there was nothing to summarize; `not_understood`: someone speaks, but "
        "the recognizer was too unsure of every word, and nothing was made up."
    )
    audio_seconds: float = Field(description="Length of the recording received, in seconds.")
    complete: bool = Field(description="Whether every second of speech was read.")
    structured: Any = Field(
        description="With `response_format=json` the summary as data, by the schema. If the answer breaks off, it is "
        "closed where it did as far as the schema allows that, else null; `warnings` then say which."
    )
    windows: list[WindowFacts] = Field(
        description="The passes it was read in: one, or where it is longer than the model's longest pass several, cut "
        "in pauses, whose notes were merged."
    )
    citations: list[CitedSentence] = Field(description="Where each sentence comes from, if there are several windows.")
    style: StyleEcho
    audio: AudioFacts
    usage: Usage
    timings: dict[str, float] = Field(
        description="Seconds by stage: receive, decode, speech (voice activity), queue, engine_prefill, engine_decode "
        "(for a recording read in windows `long` for all of these, and they are the last answer's), overhead (the "
        "service's own), total. Also in the header `Server-Timing`."
    )
    rtfx: float = Field(description="Seconds of audio a second of work, without the time it arrived or waited.")
    warnings: list[str] = Field(description="What a reader of this summary should know.")


class ProgressEvent(ResponseModel):
    """A stage was entered."""

    id: str
    object: Literal["audio.summary.progress"] = "audio.summary.progress"
    created: int
    model: str
    stage: str = Field(
        description="received, decode, speech, queue, then the engine's: engine_prefill, engine_decode …; for a "
        "recording longer than one pass windows and merge before these."
    )
    done: int | None = Field(None, description="Parts of the stage that are done, where it has parts.")
    of: int | None = Field(None, description="How many parts it has.")


class DeltaEvent(ResponseModel):
    """A piece of the summary; all pieces in order are `summary`."""

    id: str
    object: Literal["audio.summary.delta"] = "audio.summary.delta"
    created: int
    model: str
    delta: str


class ErrorDetail(ResponseModel):
    """What went wrong. `code` is stable, `param` the field at fault."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorResponse(ResponseModel):
    """Every failure, in OpenAI's shape."""

    error: ErrorDetail


class AudioCard(ResponseModel):
    """What recordings a model takes."""

    sampling_rate: int
    window_seconds: float
    max_seconds: float
    note_seconds: float = Field(description="Windows in which longer recordings are noted down; 0 is `max_seconds`.")
    trained_seconds: float = Field(
        description="Length of the recordings it was trained on; longer ones are read in windows of it. 0 if not known."
    )


class ModelCard(ResponseModel):
    """One model, or an adapter on one."""

    id: str = Field(description="What a request's `model` names: `name@version`, or the name of an adapter.")
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "speechsum"
    name: str
    version: str
    kind: str
    loaded: bool = Field(description="Whether this service serves it now.")
    state: State | None = Field(description="Where it is in its life here; null if it was never loaded.")
    adapters: list[str] = Field(description="LoRA adapters that are loaded on it; a request's `model` may name one.")
    adapter_of: str | None = Field(
        None, description="`name@version` of the model that this adapter is loaded on; null for a model."
    )
    description: str
    license: str | None
    architecture: str | None
    stage: str | None = Field(description="Training stage that made it.")
    parent: str | None = Field(description="What it was trained from.")
    prompt_format: int | None
    languages: list[str]
    audio: AudioCard
    figures: dict[str, Any] = Field(description="Measured results and the command that produced them.")


class ModelList(ResponseModel):
    """Models and adapters."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class Health(ResponseModel):
    """The service answers."""

    status: Literal["ok"] = "ok"
    model: str


def model_card(model: ModelInfo, loaded: LoadedModel | None, adapter: str | None = None) -> ModelCard:
    """A model as `GET /v1/models` shows it, or one of its adapters by name."""
    values = {name: getattr(model, name) for name in ModelCard.model_fields if hasattr(model, name)}
    audio = AudioCard(**{name: getattr(model, name) for name in AudioCard.model_fields})
    state = loaded.state if loaded else None
    adapters = sorted(loaded.adapters) if loaded else []
    here: dict[str, Any] = {"loaded": state is State.READY, "state": state, "adapters": adapters}
    if adapter is not None:
        # The figures are the model's own; nothing was measured with the adapter.
        here |= {"id": adapter, "adapter_of": model.id, "adapters": [], "figures": {}}
    return ModelCard.model_validate({**values, "languages": list(model.languages), "audio": audio, **here})


def summary_response(summary: Summary, model: ModelInfo, created: int, *, done: bool = False) -> SummaryResponse:
    """A finished summary as the caller reads it. `done`: as the last event of a stream."""
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
        citations=[
            CitedSentence(
                start=cited.start,
                end=cited.end,
                text=summary.text[cited.start : cited.end],
                windows=list(cited.windows),
            )
            for cited in summary.choices[0].citations
        ],
        style=StyleEcho(**summary.request.style.model_dump(), instruction=summary.request.instruction),
        audio=AudioFacts(
            seconds=round(audio.seconds, 3),
            summarized_seconds=round(summary.summarized_seconds, 3),
            speech_seconds=round(summary.speech_seconds, 3),
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


def _recognition_facts(summary: Summary) -> dict[str, Any]:
    """What `AudioFacts` says of the recognizer."""
    found = overall_recognition(summary.window_results)
    if found is None:
        return {}
    sure = found.log_probability
    return {
        "language": found.language,
        "language_probability": round(found.language_probability, 3),
        "recognizer_log_probability": None if sure is None else round(sure, 3),
    }


def token_usage(summary: Summary) -> Usage:
    """Its tokens."""
    read, wrote = summary.prompt_tokens, summary.completion_tokens
    return Usage(prompt_tokens=read, completion_tokens=wrote, total_tokens=read + wrote)


def server_timing(timings: dict[str, float]) -> dict[str, str]:
    """The header by which browsers show the stages (W3C Server Timing), in milliseconds. timings: in seconds."""
    stages = [f"{stage};dur={1000 * seconds:.3f}" for stage, seconds in timings.items()]
    return {"server-timing": ", ".join(stages)}
