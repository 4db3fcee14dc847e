"""Recordings that the service keeps, so that a further request need not send them again. Knows nothing about HTTP."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


class RecordingId(str):
    """The id of a kept recording, as `Summary.recording_id` holds it. It takes the place of a recording:
    `client.summarize(summary.recording_id, style="minutes")`. One that was stored as text is `RecordingId(text)`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"RecordingId({str(self)!r})"


# A field of an answer: a `str` for the type checker, and a `RecordingId` in fact.
RecordingIdText = Annotated[str, AfterValidator(RecordingId)]
