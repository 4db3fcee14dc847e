"""The baseline: Whisper writes a transcript in this process, a text model in vLLM summarizes it. What the models that
hear have to beat.

It says so itself: its kind is "cascade" in the registry, in `GET /v1/models` and in every answer.
"""

import contextlib
import time
from collections.abc import AsyncGenerator
from dataclasses import replace

from app.engine.asking import Core, Sampling, messages_of
from app.engine.base import EngineEvent, Finished, Generation, StageStarted
from app.engine.on_core import OnCore
from app.engine.transcriber import Transcriber
from app.prompts import transcript_messages, with_turns


class CascadeEngine(OnCore):
    """An `Engine` of two models (see `app.engine.base`); the second is in this process or behind servers."""

    def __init__(self, core: Core, transcriber: Transcriber) -> None:
        super().__init__(core)
        self._transcriber = transcriber
        self._transcribing = 0

    async def start(self) -> None:
        """Load both models and let the second write a word: the service's warm-up is noise, in which the first finds
        none.
        """
        await self._transcriber.start()
        await super().start()
        messages = transcript_messages("Summarize.", "Hello.")
        async for _ in self._core.stream(messages, Sampling(max_tokens=2), "cascade-start"):
            pass

    async def stop(self) -> None:
        """Free both models."""
        await self._transcriber.stop()
        await super().stop()

    @property
    def running(self) -> int:
        """Requests inside the engine now, transcribing or writing."""
        return self._transcribing + super().running

    async def generate(self, request: Generation) -> AsyncGenerator[EngineEvent, None]:
        """Transcribe the samples, then summarize the transcript as the instruction says; or the notes, as they are."""
        heard: tuple[float, str] | None = None
        if request.samples is None:
            messages = messages_of(request)
        else:
            began = time.perf_counter()
            self._transcribing += 1
            try:
                yield StageStarted("transcribe")
                transcript = await self._transcriber.transcribe(request.samples)
            finally:
                self._transcribing -= 1
            heard = time.perf_counter() - began, transcript
            if not transcript.strip():  # nothing understood: a text model asked about nothing would invent something
                yield Finished("no_speech", 0, 0, {"transcribe": heard[0]}, transcript="")
                return
            messages = with_turns(
                lambda text: transcript_messages(text, transcript), request.instruction, request.turns
            )
        stream = self._core.stream(messages, Sampling.of(request), request.request_id)
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                yield _with_stage(event, "transcribe", *heard) if heard and isinstance(event, Finished) else event


def _with_stage(finished: Finished, name: str, seconds: float, transcript: str) -> Finished:
    """`Finished` with a stage before it, and the transcript that stage made."""
    return replace(finished, stage_seconds={name: seconds, **finished.stage_seconds}, transcript=transcript)
