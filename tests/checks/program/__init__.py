"""The service as a program, with the real decoder, the real speech detector and a scripted engine.

Run `python -m tests.checks.program --pieces 4000 --piece-seconds 0.02`; settings come from the environment. With
`--facts N` the engine recognizes facts (`tests.checks.long_recording`): its notes on a window are the facts that are
spoken there, and its summary is the facts of the notes.
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


class ForgetfulEngine(ScriptedEngine):
    """A scripted engine that keeps no requests, because their samples would count as the service's memory."""

    async def generate(self, request: GenerationRequest) -> AsyncIterator[EngineEvent]:
        async for event in super().generate(request):
            self.requests.clear()
            yield event


class FactEngine(ForgetfulEngine):
    """An engine whose output is the facts, of the first `count`, that are spoken in a window or named in notes."""

    def __init__(self, count: int, context_tokens: int) -> None:
        super().__init__(self._output_pieces, context_tokens=context_tokens)
        self._count = count
        self._heard: dict[str, list[int]] = {}

    async def generate(self, request: GenerationRequest) -> AsyncIterator[EngineEvent]:
        if request.samples is not None:
            heard = await asyncio.to_thread(long_recording.find_facts, request.samples, self._count)
            self._heard[request.request_id] = heard
        async for event in super().generate(request):
            yield event

    def _output_pieces(self, request: GenerationRequest) -> Sequence[str]:
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
        FactEngine(options.facts, options.context)
        if options.facts
        else ForgetfulEngine(("word ",) * options.pieces, context_tokens=options.context, piece_s=options.piece_seconds)
    )
    settings = Settings()
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    app = create_app(settings, engine, MODEL)
    uvicorn.Server(uvicorn_config(app, settings, log_level="warning", timeout_graceful_shutdown=1)).run()
