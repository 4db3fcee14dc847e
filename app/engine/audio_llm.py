"""The engine of an audio language model: the recording and the instruction go in, and the summary comes out, with no
transcript in between.

Also the part that every engine around a `ChatModel` has: it delegates its life, token counts and adapters to the model.
Knows nothing about where the model runs, in this process or behind vLLM servers.
"""

import contextlib
from collections.abc import AsyncGenerator

from app.engine.base import Adapter, EngineEvent, GenerationRequest
from app.engine.chat_request import ChatModel, SamplingOptions, build_messages


class ChatModelEngine:
    """A `LoadedCheckpoint` (see `app.engine.base`) that delegates to its `ChatModel`."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    async def start(self) -> None:
        """Load the checkpoint, or wait for the servers that have loaded it."""
        await self._model.start()

    async def stop(self) -> None:
        """Free what `start` acquired. Calling it twice does no harm."""
        await self._model.stop()

    async def check_health(self) -> None:
        """Raise `EngineDead` if the model can no longer answer."""
        await self._model.check_health()

    @property
    def running_requests(self) -> int:
        """Number of requests inside the engine now."""
        return self._model.running_requests

    @property
    def context_tokens(self) -> int:
        """Number of tokens that a prompt and its answer may have together."""
        return self._model.context_tokens

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return self._model.count_tokens(text)

    async def add_adapter(self, adapter: Adapter) -> None:
        """Load a LoRA adapter on the language model."""
        await self._model.add_adapter(adapter)

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Unload a LoRA adapter."""
        await self._model.remove_adapter(adapter)


class AudioLlmEngine(ChatModelEngine):
    """An `Engine` (see `app.engine.base`) over one audio language model."""

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent, None]:
        """Summarize the samples, or the notes, as the instruction says."""
        stream = self._model.stream(
            build_messages(request), SamplingOptions.from_request(request), request.request_id, request.samples
        )
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                yield event
