"""The scripted engine keeps the promises of the engine protocol."""

import asyncio
import gc
import weakref
from contextlib import aclosing, suppress

import numpy as np
import pytest

from app.core.errors import EngineDead
from app.engine.base import EngineEvent, GenerationFinished, GenerationRequest, StageStarted, TextDelta
from app.engine.scripted import SCRIPT, ScriptedEngine
from app.models.model_source import find_model
from tests.app.running_service import settings_for


def generation(max_tokens: int = 100) -> GenerationRequest:
    return GenerationRequest("id", np.zeros(16_000, np.float32), "Summarize.", max_tokens)


async def run(engine: ScriptedEngine, max_tokens: int = 100) -> list[EngineEvent]:
    return [event async for event in engine.generate(generation(max_tokens))]


@pytest.fixture
async def engine() -> ScriptedEngine:
    engine = ScriptedEngine()
    await engine.start()
    return engine


async def test_stages_then_text_then_the_end(engine: ScriptedEngine) -> None:
    events = await run(engine)
    assert events[:2] == [StageStarted("prefill"), StageStarted("decode")]
    assert events[2:-1] == [TextDelta(piece) for piece in SCRIPT]
    finished = events[-1]
    assert isinstance(finished, GenerationFinished)
    assert (finished.finish_reason, finished.completion_tokens, finished.transcript) == ("stop", 7, None)
    assert engine.running_requests == 0


async def test_it_stops_at_the_tokens_asked_for(engine: ScriptedEngine) -> None:
    finished = (await run(engine, max_tokens=2))[-1]
    assert isinstance(finished, GenerationFinished)
    assert (finished.finish_reason, finished.completion_tokens) == ("length", 2)


async def test_leaving_is_counted_as_an_abort_and_finishing_is_not(engine: ScriptedEngine) -> None:
    async with aclosing(engine.generate(generation())) as events:
        assert await anext(events)
        assert engine.running_requests == 1
    assert (engine.running_requests, engine.aborted) == (0, 1)
    await run(engine)
    assert engine.aborted == 1


async def test_cancelling_while_it_waits_is_an_abort() -> None:
    engine = ScriptedEngine(prefill_s=30)
    await engine.start()
    task = asyncio.create_task(run(engine))
    await asyncio.sleep(0.02)
    assert engine.running_requests == 1
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert (engine.running_requests, engine.aborted) == (0, 1)


async def test_death_reaches_running_and_coming_requests() -> None:
    engine = ScriptedEngine(piece_s=0.02)
    await engine.start()
    await engine.check_health()
    task = asyncio.create_task(run(engine))
    await asyncio.sleep(0.03)
    engine.die()
    with pytest.raises(EngineDead):
        await task
    with pytest.raises(EngineDead):
        await run(engine)
    with pytest.raises(EngineDead):
        await engine.check_health()
    assert engine.running_requests == 0


async def test_it_fails_where_it_is_told_to() -> None:
    engine = ScriptedEngine(error=ValueError("now"), error_after=2)
    await engine.start()
    seen: list[EngineEvent] = []

    async def listen() -> None:
        async for event in engine.generate(generation()):
            seen.append(event)

    with pytest.raises(ValueError, match="now"):
        await listen()
    assert sum(isinstance(event, TextDelta) for event in seen) == 2
    assert engine.running_requests == 0


async def test_a_transcript_makes_it_a_cascade() -> None:
    engine = ScriptedEngine(transcript="words")
    await engine.start()
    events = await run(engine)
    assert events[0] == StageStarted("transcribe")
    assert isinstance(events[-1], GenerationFinished)
    assert events[-1].transcript == "words"


async def test_it_serves_nothing_before_its_start() -> None:
    with pytest.raises(EngineDead):
        await run(ScriptedEngine())


async def test_the_model_that_is_served_keeps_no_recording() -> None:
    engine = find_model(settings_for(), "scripted").build_engine()
    await engine.start()
    samples = np.zeros(16_000, np.float32)
    asked = GenerationRequest("id", samples, "Summarize.", 100)
    kept = weakref.ref(asked)
    assert [event async for event in engine.generate(asked)]
    del asked
    gc.collect()
    assert kept() is None
