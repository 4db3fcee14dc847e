"""The engine that hears: an audio language model in vLLM, here or behind servers; recording and instruction in, summary
out, nothing in between.
"""

import contextlib
from collections.abc import AsyncGenerator

from app.engine.audio_llm import ChatModelEngine
from app.engine.base import EngineEvent, GenerationRequest
from app.engine.chat_request import SamplingOptions, build_messages


class AudioLlmEngine(ChatModelEngine):
    """An `Engine` over one audio checkpoint (see `app.engine.base`)."""

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent, None]:
        """Summarize the samples, or the notes, as the instruction says."""
        stream = self._model.stream(
            build_messages(request), SamplingOptions.from_request(request), request.request_id, request.samples
        )
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                yield event
