"""The engine that hears: an audio language model in vLLM, here or behind servers; recording and instruction in, summary
out, nothing in between.
"""

import contextlib
from collections.abc import AsyncGenerator

from app.engine.audio_llm import OnCore
from app.engine.base import EngineEvent, Generation
from app.engine.chat_request import Sampling, messages_of


class VllmAudioEngine(OnCore):
    """An `Engine` over one audio checkpoint (see `app.engine.base`)."""

    async def generate(self, request: Generation) -> AsyncGenerator[EngineEvent, None]:
        """Summarize the samples, or the notes, as the instruction says."""
        stream = self._core.stream(messages_of(request), Sampling.of(request), request.request_id, request.samples)
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                yield event
