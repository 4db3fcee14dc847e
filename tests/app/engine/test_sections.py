"""One answer from several: its order, its white space, its end, and what happens if a section fails."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from app.core.errors import EngineDead
from app.core.text.sections import Section
from app.engine.base import AnswerSection, EngineEvent, FinishReason, GenerationFinished, StageStarted, TextDelta
from app.engine.chat_request import SamplingOptions
from app.engine.sections import SectionPrompt, stream_sections

Script = dict[str, Sequence[str | Exception | None]]


class ScriptedChatModel:
    """Plays back a script for each section: pieces of text, an exception to raise, or None for a pause."""

    def __init__(self, scripts: Script, reasons: dict[str, FinishReason] | None = None) -> None:
        self.scripts = scripts
        self.reasons = reasons or {}
        self.running: set[str] = set()
        self.most_running = 0

    async def stream(self, _: Any, sampling: SamplingOptions, request_id: str) -> AsyncGenerator[EngineEvent, None]:
        self.running.add(request_id)
        self.most_running = max(self.most_running, len(self.running))
        try:
            yield StageStarted("prefill")
            await asyncio.sleep(0)
            yield StageStarted("decode")
            for piece in self.scripts[request_id]:
                if isinstance(piece, Exception):
                    raise piece
                if piece is None:
                    await asyncio.sleep(0.01)
                else:
                    yield TextDelta(piece)
            if request_id not in self.reasons or self.reasons[request_id] != "abort":
                seconds = {"prefill": 0.5, "decode": float(request_id[-1])}
                yield GenerationFinished(self.reasons.get(request_id, "stop"), 10, 3, seconds)
        finally:
            self.running.discard(request_id)


def prompts(*names: str) -> list[SectionPrompt]:
    return [
        SectionPrompt([], SamplingOptions(8), name, Section("", 10.0 * number, 10.0 * number + 9))
        for number, name in enumerate(names)
    ]


async def collect(model: ScriptedChatModel, *names: str, separator: str = " ") -> list[EngineEvent]:
    return [event async for event in stream_sections(model, prompts(*names), separator)]  # type: ignore[arg-type]


def text_of(events: Sequence[EngineEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_sections_are_written_at_once_and_read_in_order() -> None:
    model = ScriptedChatModel({"s1": [None, None, "One", " calls."], "s2": ["Two.", "\n"], "s3": ["  Three", "."]})
    events = await collect(model, "s1", "s2", "s3")
    assert text_of(events) == "One calls. Two. Three."
    assert model.most_running == 3
    assert [event.stage for event in events if isinstance(event, StageStarted)] == ["prefill", "decode"]


async def test_the_last_event_counts_the_tokens_of_all_and_the_longest_times() -> None:
    (*_, last) = await collect(ScriptedChatModel({"s1": ["One."], "s2": ["Two."]}), "s1", "s2")
    sections = (AnswerSection(4, 0.0, 9.0), AnswerSection(9, 10.0, 19.0))
    assert last == GenerationFinished("stop", 20, 6, {"decode": 2.0, "prefill": 0.5}, sections=sections)


async def test_lists_have_one_line_between_their_parts() -> None:
    model = ScriptedChatModel({"s1": ["- one\n", "- two\n\n"], "s2": ["\n- three"]})
    assert text_of(await collect(model, "s1", "s2", separator="\n")) == "- one\n- two\n- three"


async def test_a_section_without_text_leaves_no_gap() -> None:
    model = ScriptedChatModel({"s1": [" "], "s2": ["Two."], "s3": [], "s4": ["Four."]})
    assert text_of(await collect(model, "s1", "s2", "s3", "s4")) == "Two. Four."


@pytest.mark.parametrize(
    ("reasons", "reason"),
    [
        ({}, "stop"),
        ({"s2": "length"}, "length"),
        ({"s2": "repetition", "s3": "length"}, "repetition"),
        ({"s1": "length", "s3": "abort"}, "abort"),
    ],
)
async def test_the_reason_says_what_happened_to_any_section(
    reasons: dict[str, FinishReason], reason: FinishReason
) -> None:
    model = ScriptedChatModel({"s1": ["One."], "s2": ["Two."], "s3": ["Three."]}, reasons)
    (*_, last) = await collect(model, "s1", "s2", "s3")
    assert isinstance(last, GenerationFinished)
    assert last.finish_reason == reason


async def test_a_failure_of_one_section_is_raised_and_ends_the_others() -> None:
    model = ScriptedChatModel(
        {"s1": ["One."], "s2": [EngineDead("The engine died.", code="engine_dead")], "s3": [None] * 1000}
    )
    with pytest.raises(EngineDead):
        await collect(model, "s1", "s2", "s3")
    assert not model.running


async def test_closing_the_answer_aborts_all_sections() -> None:
    model = ScriptedChatModel({"s1": ["One."] + [None] * 1000, "s2": [None] * 1000})
    stream = stream_sections(model, prompts("s1", "s2"), " ")  # type: ignore[arg-type]
    async for event in stream:
        if isinstance(event, TextDelta):
            break
    assert model.running == {"s1", "s2"}
    await stream.aclose()
    assert not model.running
