"""The service as a program of its own: real decoder, real speech detector, and an engine that plays back a script.

`python -m tests.checks.program --pieces 4000 --piece-seconds 0.02`, settings from the environment. With `--facts N` the
engine listens instead (`tests.checks.long_recording`): its notes on a window are the facts spoken there, its summary
those of the notes.
"""

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

import uvicorn

from app.engine.base import EngineEvent, GenerationRequest
from app.engine.scripted import ScriptedEngine
from app.main import create_app
from app.server.uvicorn_config import uvicorn_config
from app.settings import Settings
from tests.app.running_service import MODEL
from tests.checks import long_recording


class Forgetful(ScriptedEngine):
    """Does not remember its requests, whose samples would be counted as the service's memory."""

    async def generate(self, request: GenerationRequest) -> AsyncIterator[EngineEvent]:
        async for event in super().generate(request):
            self.requests.clear()
            yield event


class Listener(Forgetful):
    """Notes down which of the first `count` facts are spoken in a window; of notes, the facts in them."""

    def __init__(self, count: int, context_tokens: int) -> None:
        super().__init__(self._noted, context_tokens=context_tokens)
        self._count = count
        self._heard: dict[str, list[int]] = {}

    async def generate(self, request: GenerationRequest) -> AsyncIterator[EngineEvent]:
        if request.samples is not None:
            heard = await asyncio.to_thread(long_recording.heard, request.samples, self._count)
            self._heard[request.request_id] = heard
        async for event in super().generate(request):
            yield event

    def _noted(self, request: GenerationRequest) -> Sequence[str]:
        if request.samples is None:
            return [f"{word} " for word in request.notes.split() if long_recording.is_note(word)]
        return [f"{long_recording.note(number)} " for number in self._heard.pop(request.request_id)] or ["chatter "]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=0)
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--pieces", type=int, default=7)
    parser.add_argument("--piece-seconds", type=float, default=0.0)
    options = parser.parse_args()
    engine = (
        Listener(options.facts, options.context)
        if options.facts
        else Forgetful(("word ",) * options.pieces, context_tokens=options.context, piece_s=options.piece_seconds)
    )
    settings = Settings()
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    app = create_app(settings, engine, MODEL)
    uvicorn.Server(uvicorn_config(app, settings, log_level="warning", timeout_graceful_shutdown=1)).run()
