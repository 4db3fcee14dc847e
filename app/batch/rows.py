"""The row that each recording of an archive gets: its summary and facts about it, or the error in their place."""

import json
from typing import Any, TypedDict

from app.batch.inputs import UnusableInput
from app.core.errors import ServiceError
from app.version import package_version

Answer = dict[str, Any]  # a `SummaryResponse`, as JSON
# The error codes of a batch beside those of the service.
UNREADABLE_RECORDING, INTERNAL_ERROR, WORKER_DIED = "recording_unreadable", "internal_error", "worker_died"


class Row(TypedDict):
    """One row. All fields but the first five are null if there is an error, and the last two if there is none.

    Attributes:
        uri: The recording, as the archive names it.
        model: `name@version` of the model.
        speechsum_version: Version of the package that made the row.
        finished_at: Unix time, in seconds.
        processing_seconds: Time from the fetching of the recording to its summary.
        summary: The summary. Empty if there was no speech.
        structured: The summary as data, as JSON, if it was asked for.
        kind: "audio-llm" or "cascade".
        language: BCP 47 tag of the spoken language, from a cascade.
        audio_seconds: Length of the recording.
        speech_seconds: How much of it is speech.
        finish_reason: As in an answer of the service.
        complete: Whether all speech was read.
        warnings: What a reader should know, a sentence each, as a JSON list.
        answer: The service's whole answer, as JSON, if it was asked for.
        error_code: As in an error of the service.
        error: What went wrong, in a sentence.
    """

    uri: str
    model: str
    speechsum_version: str
    finished_at: float
    processing_seconds: float
    summary: str | None
    structured: str | None
    kind: str | None
    language: str | None
    audio_seconds: float | None
    speech_seconds: float | None
    finish_reason: str | None
    complete: bool | None
    warnings: str | None
    answer: str | None
    error_code: str | None
    error: str | None


def summary_row(uri: str, answer: Answer, *, finished_at: float, seconds: float, whole: bool) -> Row:
    """Return the row of a summary. seconds: of processing. whole: whether the row also has the whole answer."""
    audio = answer["audio"]
    structured = answer["structured"]
    return Row(
        uri=uri,
        model=answer["model"],
        speechsum_version=package_version(),
        finished_at=finished_at,
        processing_seconds=round(seconds, 3),
        summary=answer["summary"],
        structured=None if structured is None else _to_json(structured),
        kind=answer["kind"],
        language=audio["language"],
        audio_seconds=answer["audio_seconds"],
        speech_seconds=audio["speech_seconds"],
        finish_reason=answer["finish_reason"],
        complete=answer["complete"],
        warnings=_to_json(answer["warnings"]),
        answer=_to_json(answer) if whole else None,
        error_code=None,
        error=None,
    )


def error_row(uri: str, model: str, error: Exception, *, finished_at: float, seconds: float) -> Row:
    """Return the row of a recording that has no summary. seconds: of processing."""
    if isinstance(error, ServiceError):
        code, message = error.code, error.message
    elif isinstance(error, OSError | UnusableInput):
        code, message = UNREADABLE_RECORDING, f"The recording cannot be read: {error}"
    else:
        code, message = INTERNAL_ERROR, f"{type(error).__name__}: {error}"
    return Row(
        uri=uri,
        model=model,
        speechsum_version=package_version(),
        finished_at=finished_at,
        processing_seconds=round(seconds, 3),
        summary=None,
        structured=None,
        kind=None,
        language=None,
        audio_seconds=None,
        speech_seconds=None,
        finish_reason=None,
        complete=None,
        warnings=None,
        answer=None,
        error_code=code,
        error=message,
    )


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
