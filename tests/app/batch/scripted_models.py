"""Models for batches whose workers are other processes: a fixed cost for each recording, and one that some end."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

from app.core.errors import EngineDead
from app.engine.base import EngineEvent, GenerationRequest
from app.engine.model_info import SCRIPTED_MODEL
from app.engine.scripted import ScriptedEngine
from app.models.model_source import LoadableModel, ModelSource

POISON_SECONDS = 9.0  # a recording of so many seconds or more ends the engine of `fragile_source`


class SerialEngine(ScriptedEngine):
    """Works on one recording at a time, as long as a device would that is kept busy by each."""

    def __init__(self, seconds: float) -> None:
        super().__init__(keep_requests=False)
        self._seconds = seconds
        self._device = asyncio.Lock()

    async def generate(self, request: GenerationRequest) -> AsyncIterator[EngineEvent]:
        async with self._device:
            await asyncio.sleep(self._seconds)
            async for event in super().generate(request):
                yield event


class FragileEngine(ScriptedEngine):
    """Dies of a long recording."""

    def __init__(self) -> None:
        super().__init__(keep_requests=False)

    async def generate(self, request: GenerationRequest) -> AsyncIterator[EngineEvent]:
        if request.samples is not None and len(request.samples) >= POISON_SECONDS * 16_000:
            self.die()
            raise EngineDead("The engine died.", code="engine_dead")
        async for event in super().generate(request):
            yield event


def serial_source(seconds: float) -> ModelSource:
    """Return what finds a model that takes so many seconds for each recording, one after the other."""
    return partial(_find, SerialEngine, (seconds,))


def fragile_source() -> ModelSource:
    """Return what finds a model that dies of a long recording."""
    return partial(_find, FragileEngine, ())


def _find(engine: type[ScriptedEngine], arguments: tuple[float, ...], name: str, urls: Sequence[str]) -> LoadableModel:
    return LoadableModel(SCRIPTED_MODEL, partial(engine, *arguments))
