"""The engine that hears: an audio language model in vLLM, recording and instruction in, summary out, nothing in
between.
"""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

from app.engine.base import EngineEvent, Generation
from app.engine.vllm_core import Sampling, VllmCore
from app.prompts import audio_messages, notes_messages
from app.settings import EngineSettings


class VllmAudioEngine:
    """An `Engine` over one assembled audio checkpoint (see `app.engine.base`)."""

    def __init__(self, folder: Path, context_tokens: int, settings: EngineSettings) -> None:
        self._core = VllmCore(folder, context_tokens, settings, audio=True)

    async def start(self) -> None:
        """Load the checkpoint."""
        await self._core.start()

    async def stop(self) -> None:
        """End the engine's process."""
        await self._core.stop()

    async def check_health(self) -> None:
        """Raise `EngineDead` if the engine's process is gone."""
        await self._core.check_health()

    @property
    def running(self) -> int:
        """Requests inside the engine now."""
        return self._core.running

    @property
    def context_tokens(self) -> int:
        """Tokens that a prompt and its answer may have together."""
        return self._core.context_tokens

    def count_tokens(self, text: str) -> int:
        """Tokens of a text."""
        return self._core.count_tokens(text)

    async def generate(self, request: Generation) -> AsyncGenerator[EngineEvent, None]:
        """Summarize the samples, or the notes, as the instruction says."""
        messages = (
            notes_messages(request.instruction, request.notes)
            if request.samples is None
            else audio_messages(request.instruction)
        )
        prompt = self._core.prompt(messages)
        sampling = Sampling.of(request)
        async with contextlib.aclosing(
            self._core.stream(prompt, sampling, request.request_id, request.samples)
        ) as events:
            async for event in events:
                yield event
