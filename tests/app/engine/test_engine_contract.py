"""The promises of every engine: the scripted one, one in front of a fake server, vLLM in this process, and vLLM's own
server.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import replace

import numpy as np
import pytest

from app.core.errors import TooLarge, Unavailable
from app.core.prompts import Style, instruction, notes_text
from app.engine.audio_llm import AudioLlmEngine
from app.engine.base import Engine, EngineEvent, GenerationFinished, GenerationRequest, StageStarted, TextDelta
from app.engine.remote.server_pool import RemoteChatModel
from app.engine.scripted import ScriptedEngine
from app.engine.vllm_in_process import VllmChatModel
from app.settings import EngineSettings, RemoteSettings
from tests.app.engine.remote.fake_vllm_server import CONTEXT, WANTED, chat_tokenizer
from tests.app.running_service import until

pytestmark = pytest.mark.asyncio(loop_scope="package")

SECONDS = 2
NOISE = np.random.default_rng(0).normal(0, 0.01, SECONDS * 16_000).astype(np.float32)
TOKENS = 12


def generation_request(name: str = "one", max_tokens: int = TOKENS) -> GenerationRequest:
    return GenerationRequest(name, NOISE, instruction(Style()), max_tokens)


async def collect_events(engine: Engine, generation: GenerationRequest) -> list[EngineEvent]:
    return [event async for event in engine.generate(generation)]


async def generate(engine: Engine, generation: GenerationRequest) -> tuple[str, GenerationFinished]:
    events = await collect_events(engine, generation)
    last = events[-1]
    assert isinstance(last, GenerationFinished)
    return "".join(event.text for event in events if isinstance(event, TextDelta)), last


async def test_stages_come_first_then_text_then_the_end(engine: Engine) -> None:
    events = await collect_events(engine, generation_request())
    assert events[:2] == [StageStarted("prefill"), StageStarted("decode")]
    assert all(isinstance(event, TextDelta) and event.text for event in events[2:-1])
    end = events[-1]
    assert isinstance(end, GenerationFinished)
    assert 0 < end.completion_tokens == len(end.token_ids) <= TOKENS
    assert end.prompt_tokens > 25 * SECONDS
    assert set(end.stage_seconds) == {"prefill", "decode"}
    assert all(seconds >= 0 for seconds in end.stage_seconds.values())
    assert end.transcript is None
    assert engine.running_requests == 0


async def test_it_ends_at_the_tokens_asked_for(engine: Engine) -> None:
    text, end = await generate(engine, generation_request(max_tokens=3))
    assert (end.finish_reason, end.completion_tokens) == ("length", 3)
    longer, _ = await generate(engine, generation_request("longer"))
    assert longer.startswith(text)
    assert len(longer) > len(text)


async def test_the_same_request_gives_the_same_answer_alone_and_among_others(engine: Engine) -> None:
    alone, _ = await generate(engine, generation_request("alone"))
    assert alone.strip()
    among = await asyncio.gather(*(generate(engine, generation_request(f"among-{number}")) for number in range(4)))
    assert [text for text, _ in among] == [alone] * 4
    assert engine.running_requests == 0


async def test_it_ends_before_a_stop(engine: Engine) -> None:
    whole, _ = await generate(engine, generation_request("whole"))
    word = whole.split()[2]
    text, end = await generate(engine, replace(generation_request("stopped"), stop=("never said", word)))
    assert text == whole[: whole.index(word)]
    assert end.finish_reason == "stop"


async def test_a_seed_repeats_what_is_drawn(engine: Engine) -> None:
    drawn = replace(generation_request("drawn"), temperature=1.0, top_p=0.9, seed=7)
    first, _ = await generate(engine, drawn)
    again, _ = await generate(engine, replace(drawn, request_id="again"))
    assert first == again


async def test_notes_are_read_in_place_of_a_recording(engine: Engine) -> None:
    notes = notes_text([(0, "- Anna will call the printer."), (300, "- The budget is 300 francs.")])
    text, end = await generate(engine, replace(generation_request("notes"), samples=None, notes=notes))
    assert text.strip()
    _, more = await generate(
        engine, replace(generation_request("more", max_tokens=1), samples=None, notes=f"{notes}\n- One thing more.")
    )
    assert 0 < more.prompt_tokens - end.prompt_tokens < 20


async def test_a_longer_recording_is_more_to_read(engine: Engine) -> None:
    _, short = await generate(engine, generation_request("short", max_tokens=1))
    longer = replace(generation_request("longer", max_tokens=1), samples=np.concatenate([NOISE, NOISE]))
    _, long = await generate(engine, longer)
    assert long.prompt_tokens - short.prompt_tokens == 25 * SECONDS


async def test_what_does_not_fit_the_context_is_refused_with_the_limit(engine: Engine) -> None:
    wordy = replace(generation_request("wordy"), instruction="Be brief. " * engine.context_tokens)
    with pytest.raises(TooLarge, match=str(engine.context_tokens)) as refusal:
        await generate(engine, wordy)
    assert (refusal.value.code, engine.running_requests) == ("context_exceeded", 0)
    await generate(engine, generation_request("after it", max_tokens=1))


async def test_leaving_frees_the_engine_and_the_next_one_is_answered(engine: Engine) -> None:
    async with aclosing(engine.generate(generation_request("left", max_tokens=2000))) as events:  # type: ignore[type-var]
        async for event in events:
            if isinstance(event, TextDelta):
                break
        assert engine.running_requests == 1
    assert engine.running_requests == 0
    _, end = await asyncio.wait_for(generate(engine, generation_request("next", max_tokens=2)), 60)
    assert end.completion_tokens <= 2


async def test_cancelling_frees_the_engine(engine: Engine) -> None:
    task = asyncio.create_task(generate(engine, generation_request("cancelled", max_tokens=2000)))
    await until(lambda: engine.running_requests == 1)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert engine.running_requests == 0


async def test_it_lives_and_knows_what_it_can_take(engine: Engine) -> None:
    await engine.check_health()
    assert engine.context_tokens >= 1024
    assert engine.count_tokens("") == 0
    assert 0 < engine.count_tokens("Three short words") < engine.count_tokens("Three short words and five more words")


@pytest.mark.parametrize(
    "make",
    [
        ScriptedEngine,
        lambda: AudioLlmEngine(RemoteChatModel(WANTED, chat_tokenizer(), RemoteSettings(urls=["http://127.0.0.1:9"]))),
        lambda: AudioLlmEngine(VllmChatModel("/nonexistent", CONTEXT, EngineSettings(), audio=True)),  # type: ignore[arg-type]
    ],
    ids=["scripted", "remote", "in_process"],
)
async def test_before_its_start_it_serves_nothing(make: Callable[[], Engine]) -> None:
    engine = make()
    with pytest.raises(Unavailable, match="not started"):
        await generate(engine, generation_request())
    await engine.stop()
