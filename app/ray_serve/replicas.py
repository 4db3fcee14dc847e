"""What runs in a replica of the deployments `engine` and `ear`: one model, and the calls that the ingress makes.

Each replica is a process of its own, which Serve sends requests to once the model is loaded. Knows nothing about HTTP
or recordings.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.core.asr.transcript import Transcript
from app.engine.base import Adapter, EngineEvent
from app.engine.chat_request import ChatModel, Messages, SamplingOptions

Adapters = Sequence[tuple[str, Path | None]]  # name and folder of each


class Transcriber(Protocol):
    """A speech recognizer, such as `app.core.asr.whisper.WhisperTranscriber`."""

    async def start(self) -> None:
        """Load the model."""

    async def stop(self) -> None:
        """Free the model."""

    async def transcribe(self, samples: NDArray[np.float32], vocabulary: Sequence[str] = ()) -> Transcript:
        """Transcribe float32 mono samples at 16 kHz, shape (n,)."""


class EngineReplica:
    """A language model with its LoRA adapters. Several `stream` calls may be open."""

    # Serve awaits it, and sends no requests before it has returned.
    async def __init__(self, make_model: Callable[[], ChatModel], adapters: Adapters = ()) -> None:  # type: ignore[misc]
        """Make the model, which may take minutes while a checkpoint is fetched, and load it."""
        self._model = await asyncio.to_thread(make_model)
        await self._model.start()
        self._adapters = {name: Adapter(name, number, folder) for number, (name, folder) in enumerate(adapters, 1)}
        for adapter in self._adapters.values():
            await self._model.add_adapter(adapter)

    async def stream(
        self, messages: Messages, sampling: SamplingOptions, request_id: str, audio: NDArray[np.float32] | None
    ) -> AsyncGenerator[EngineEvent, None]:
        """Generate one answer, as `app.engine.chat_request.ChatModel.stream` says."""
        if sampling.adapter is not None:  # the ingress numbers adapters otherwise
            sampling = replace(sampling, adapter=self._adapters[sampling.adapter.name])
        async with aclosing(self._model.stream(messages, sampling, request_id, audio)) as events:
            async for event in events:
                yield event

    async def check_health(self) -> None:
        """Raise EngineDead if the engine died; Serve then replaces the replica."""
        await self._model.check_health()

    async def __del__(self) -> None:
        await self._model.stop()


class EarReplica:
    """A speech recognizer, which transcribes one recording after the other."""

    # Serve awaits it, and sends no requests before it has returned.
    async def __init__(self, make_transcriber: Callable[[], Transcriber]) -> None:  # type: ignore[misc]
        """Make the recognizer, which may take minutes while its files are fetched, and load it."""
        self._transcriber = await asyncio.to_thread(make_transcriber)
        await self._transcriber.start()

    async def transcribe(self, samples: NDArray[np.float32], vocabulary: Sequence[str]) -> Transcript:
        """Transcribe float32 mono samples at 16 kHz, shape (n,)."""
        return await self._transcriber.transcribe(samples, vocabulary)

    async def __del__(self) -> None:
        await self._transcriber.stop()
