"""The transcript beside a summary, as callers read it, and the refusal where a model has none.

The names are those of OpenAI's transcriptions (`POST /v1/audio/transcriptions`). Knows nothing about how a
transcript is made.
"""

from pydantic import BaseModel, Field

from app.core.errors import InvalidRequest
from app.models.loaded_model import State
from app.models.resolver import ModelResolver, ResolvedModel
from app.summarize.recognition_warnings import overall_recognition
from app.summarize.request import Summary, TranscriptFormat
from app.summarize.transcript import recording_segments, transcript_text


class TranscriptSegment(BaseModel):
    """A segment of the transcript. Times are in seconds from the recording's beginning."""

    id: int = Field(description="Number of the segment, from 0.")
    start: float
    end: float
    text: str
    avg_logprob: float = Field(description="Mean log-probability of the recognizer's tokens.")
    compression_ratio: float = Field(description="High for text that repeats itself.")
    no_speech_prob: float = Field(description="Probability that nobody speaks.")


class Transcript(BaseModel):
    """What was said, as far as the recognizer understood it; `warnings` name what it left out."""

    format: TranscriptFormat
    language: str | None = Field(description="BCP 47 tag of the spoken language; null if nothing was heard.")
    text: str = Field(description="The transcript in that format; with `verbose_json` it is plain text.")
    segments: list[TranscriptSegment] | None = Field(
        description="With `verbose_json`, the transcript with its times; else null."
    )


def transcript_facts(summary: Summary) -> Transcript | None:
    """Return the transcript in the format that the request asks for; None if it asks for none."""
    wanted = summary.request.transcript_format
    if wanted is None:
        return None
    segments = recording_segments(summary.window_results)
    recognition = overall_recognition(summary.window_results)
    return Transcript(
        format=wanted,
        language=recognition.language if recognition else None,
        text=transcript_text(segments, wanted),
        segments=None
        if wanted != "verbose_json"
        else [
            TranscriptSegment(
                id=number,
                start=round(one.start, 3),
                end=round(one.end, 3),
                text=one.text,
                avg_logprob=round(one.log_probability, 3),
                compression_ratio=round(one.compression_ratio, 3),
                no_speech_prob=round(one.no_speech_probability, 3),
            )
            for number, one in enumerate(segments)
        ],
    )


def check_transcript(models: ModelResolver, resolved_model: ResolvedModel, wanted: TranscriptFormat | None) -> None:
    """Raise InvalidRequest (400), which names the models that have one, if a transcript is wanted of another model."""
    if wanted is None or resolved_model.model.info.has_transcript:
        return
    ready = [one.id for one in models.by_id.values() if one.state is State.READY and one.info.has_transcript]
    known = [one.id for one in models.known_models if one.has_transcript]
    if ready:
        hint = f"Models that have one, and answer here: {', '.join(ready)}."
    elif known:
        hint = f"Models that have one, but are not loaded here: {', '.join(known)}."
    else:
        hint = "Cascades have one, and this service knows none."
    raise InvalidRequest(
        f"{resolved_model.id} hears the recording itself and has no transcript. {hint}",
        code="no_transcript",
        param="transcript",
    )
