"""The typed response about a recording that is kept. Knows nothing about how recordings are kept."""

from typing import Literal

from pydantic import Field

from app.api.protocol import ResponseModel
from app.core.audio.vad import speech_seconds
from app.recordings.store import KeptRecording


class RecordingResponse(ResponseModel):
    """A recording that is kept for further requests. Times of day are in seconds since the Unix epoch."""

    id: str
    object: Literal["audio.recording"] = "audio.recording"
    created: int
    expires_at: int = Field(description="When it is deleted.")
    kept: Literal["transcript", "audio"] = Field(
        description="`transcript`: only what was heard in it, for cascades; `audio`: its samples, for any model."
    )
    bytes: int = Field(description="Bytes that it takes of the room for all kept recordings.")
    model: str = Field(description="`name@version` of the model that heard it.")
    audio_seconds: float = Field(description="Length of the recording, in seconds.")
    speech_seconds: float = Field(description="How much of it is speech.")
    format: str = Field(description="Container format that it was received in.")


def recording_response(recording: KeptRecording) -> RecordingResponse:
    """Return a recording as its owner reads it."""
    content = recording.content
    return RecordingResponse(
        id=recording.id,
        created=int(recording.created),
        expires_at=int(recording.expires),
        kept="audio" if content.transcripts is None else "transcript",
        bytes=recording.size_bytes,
        model=content.model,
        audio_seconds=round(content.audio.seconds, 3),
        speech_seconds=round(speech_seconds(content.detection.spans), 3),
        format=content.audio.source_format,
    )
