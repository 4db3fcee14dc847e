"""The windows of one recording, each with what an engine needs to read it: its samples, or what was heard in it.

What a recognizer has heard in a window is heard once, however many answers are written about it. Knows nothing about
prompts.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from app.concurrency import SharedResult
from app.core.asr.transcript import Transcript
from app.core.audio.limits import SAMPLE_RATE
from app.core.audio.windows import Window, split_into_windows
from app.engine.base import GenerationRequest
from app.engine.model_info import ModelInfo
from app.recordings.content import RecordingContent, WindowTranscript
from app.settings import LongSettings


class RecordingWindows:
    """The windows of a recording in which somebody speaks, in order.

    Args:
        content: the recording.
        windows: how it is read, if its samples are there. Otherwise it is read as it was heard.
    """

    def __init__(self, content: RecordingContent, windows: Sequence[Window] = ()) -> None:
        self._samples = content.audio.samples
        known = content.transcripts
        self.windows = list(windows) if known is None else [one.window for one in known]
        self._transcripts = (
            [SharedResult[Transcript]() for _ in self.windows]
            if known is None
            else [SharedResult(one.transcript) for one in known]
        )

    def transcripts(self) -> list[WindowTranscript] | None:
        """Return what was heard in each window, or None if that is not known of all of them."""
        heard = [shared.value for shared in self._transcripts]
        if any(one is None for one in heard):
            return None
        return [
            WindowTranscript(window, one) for window, one in zip(self.windows, heard, strict=True) if one is not None
        ]

    async def read_with(self, index: int, requests: Sequence[GenerationRequest]) -> list[GenerationRequest]:
        """Return the requests with a window to read: what was heard in it if that is known, else its samples."""
        shared = self._transcripts[index]
        if (known := shared.value) is not None:
            return [replace(one, samples=None, known_transcript=known) for one in requests]
        samples = await asyncio.to_thread(self.windows[index].extract, self._samples)
        return [replace(one, samples=samples, shared_transcript=shared) for one in requests]


def longest_pass_seconds(settings: LongSettings, model: ModelInfo) -> float:
    """Return the length of the longest recording that the model reads in one pass, in seconds."""
    return min(settings.pass_seconds or model.max_pass_seconds, model.max_seconds)


async def open_windows(content: RecordingContent, settings: LongSettings, model: ModelInfo) -> RecordingWindows:
    """Return the windows in which the model reads the recording: one for all of it if it fits one pass."""
    if content.transcripts is not None:
        return RecordingWindows(content)
    samples, pass_seconds = content.audio.samples, longest_pass_seconds(settings, model)
    whole = Window(0.0, len(samples) / SAMPLE_RATE)
    if whole.seconds <= pass_seconds:
        return RecordingWindows(content, [whole])
    longest = min(settings.window_seconds or model.note_seconds or pass_seconds, pass_seconds)
    return RecordingWindows(
        content, await asyncio.to_thread(split_into_windows, content.detection.spans, longest, samples)
    )
