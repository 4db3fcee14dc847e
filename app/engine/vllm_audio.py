"""The engine that hears: an audio language model in vLLM, here or behind servers; recording and instruction in, summary
out, nothing in between.
"""

import contextlib
from collections.abc import AsyncGenerator

from app.engine.asking import Core, Sampling, messages_of
from app.engine.base import Adapter, EngineEvent, Generation


class VllmAudioEngine:
    """An `Engine` over one audio checkpoint (see `app.engine.base`)."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def start(self) -> None:
        """Load the checkpoint, or find the servers that have."""
        await self._core.start()

    async def stop(self) -> None:
        """Free what `start` took."""
        await self._core.stop()

    async def check_health(self) -> None:
        """Raise `EngineDead` if nothing can be answered any more."""
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

    async def add_adapter(self, adapter: Adapter) -> None:
        """Load a LoRA adapter on the language model."""
        await self._core.add_adapter(adapter)

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Forget it."""
        await self._core.remove_adapter(adapter)

    async def generate(self, request: Generation) -> AsyncGenerator[EngineEvent, None]:
        """Summarize the samples, or the notes, as the instruction says."""
        stream = self._core.stream(messages_of(request), Sampling.of(request), request.request_id, request.samples)
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                yield event
