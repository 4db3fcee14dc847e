"""A cascade: the prompts of its text model, their language, and what never reaches it."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.concurrency import SharedResult
from app.core.asr.transcript import Transcript, TranscriptSegment
from app.core.prompts import SYSTEM_PROMPT, UNTRAINED_STRUCTURED_SYSTEM_PROMPT, Style, notes_text
from app.engine.base import (
    EngineEvent,
    GenerationFinished,
    GenerationRequest,
    SectionedAnswer,
    StageStarted,
    TextDelta,
)
from app.engine.cascade import CascadeEngine
from app.summarize.request import SummaryRequest

SAMPLES = np.zeros(16_000, np.float32)


class FakeChatModel:
    """Writes one word; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def stream(self, messages: Any, *_: Any) -> AsyncGenerator[EngineEvent, None]:
        self.asked.append(messages)
        yield StageStarted("prefill")
        yield TextDelta("Yes.")
        yield GenerationFinished("stop", 9, 2, {"prefill": 0.1})


class FakeTranscriber:
    """A transcriber that always hears the same."""

    def __init__(self, *stretches: TranscriptSegment, language: str = "en", probability: float = 0.95) -> None:
        self.transcript = Transcript(stretches, language, probability)
        self.calls = 0
        self.vocabularies: list[tuple[str, ...]] = []

    async def transcribe(self, samples: object, vocabulary: tuple[str, ...] = ()) -> Transcript:
        self.calls += 1
        self.vocabularies.append(vocabulary)
        return self.transcript


def segment(text: str, log_probability: float = -0.3, start: float = 0.0) -> TranscriptSegment:
    return TranscriptSegment(start, start + 4, text, log_probability, 1.2, 0.05)


async def generate(hearing: FakeTranscriber, style: Style, **changes: Any) -> tuple[list[EngineEvent], list[Any]]:
    core = FakeChatModel()
    engine = CascadeEngine(core, hearing, languages=("en", "de", "es"))  # type: ignore[arg-type]
    summary_request = SummaryRequest("x", None, style)  # type: ignore[arg-type]
    generation_request = GenerationRequest(
        "x",
        SAMPLES,
        summary_request.instruction,
        max_tokens=8,
        instruction_for_language=(lambda tag: summary_request.with_language(tag).instruction)
        if summary_request.leaves_language_open
        else None,
    )
    events = [event async for event in engine.generate(replace(generation_request, **changes))]
    return events, core.asked


class EchoingChatModel(FakeChatModel):
    """Writes the first word of each section in capitals; counts words as tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.max_tokens: list[int] = []
        self.names: list[str] = []

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def stream(self, messages: Any, sampling: Any, name: str, *_: Any) -> AsyncGenerator[EngineEvent, None]:
        self.asked.append(messages)
        self.max_tokens.append(sampling.max_tokens)
        self.names.append(name)
        yield StageStarted("prefill")
        yield TextDelta(messages[1]["content"].split()[1].upper())
        yield GenerationFinished("stop", 9, 2, {"prefill": 0.1})


async def summarize_in_sections(language: str = "en", **changes: Any) -> tuple[list[EngineEvent], EchoingChatModel]:
    core = EchoingChatModel()
    hearing = FakeTranscriber(
        segment("Anna calls. She comes."), segment("Ben waits. He sleeps.", start=4), language=language
    )
    engine = CascadeEngine(core, hearing, languages=("en", "de"), section_tokens=4)  # type: ignore[arg-type]
    request = replace(GenerationRequest("x", SAMPLES, "Summarize.", max_tokens=400), **changes)
    return [event async for event in engine.generate(request)], core


async def test_an_answer_is_written_in_sections_if_the_request_allows_it() -> None:
    plan = SectionedAnswer(lambda count, language: f"One of {count} in {language}.", " / ", 8, total_tokens=400)
    events, core = await summarize_in_sections(sections=plan)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "ANNA / BEN"
    assert [messages[1]["content"] for messages in core.asked] == [
        "<transcript>\nAnna calls. She comes.\n</transcript>\nOne of 2 in None.",
        "<transcript>\nBen waits. He sleeps.\n</transcript>\nOne of 2 in None.",
    ]
    assert (core.max_tokens, core.names) == ([200, 200], ["x-s1", "x-s2"])
    last = events[-1]
    assert isinstance(last, GenerationFinished)
    assert (last.prompt_tokens, last.completion_tokens) == (18, 4)
    assert last.transcript == "Anna calls. She comes. Ben waits. He sleeps."
    assert last.stage_seconds.keys() == {"transcribe", "prefill"}


async def test_sections_are_in_the_language_that_is_spoken() -> None:
    plan = SectionedAnswer(lambda count, language: f"One of {count} in {language}.")
    _, core = await summarize_in_sections("de", sections=plan, instruction_for_language=lambda tag: f"In {tag}.")
    assert {messages[1]["content"].splitlines()[-1] for messages in core.asked} == {"One of 2 in de."}


async def test_an_answer_is_written_in_one_piece_if_the_request_or_the_recording_asks_for_that() -> None:
    _, core = await summarize_in_sections()
    assert len(core.asked) == 1
    _, core = await summarize_in_sections(sections=SectionedAnswer(lambda *_: "One.", max_sections=1))
    ((_, user),) = core.asked
    assert user["content"].endswith("Ben waits. He sleeps.\n</transcript>\nSummarize.")


NOTES = notes_text(
    [
        (0, "- Anna calls and wants to know when the boat leaves.\n- She comes by car."),
        (300, "- Ben sleeps, and nobody wants to wake him up.\n- It rains in the north."),
    ]
)


async def test_a_summary_of_notes_is_written_in_sections_too() -> None:
    plan = SectionedAnswer(lambda count, language: f"One of {count} in {language}.", total_tokens=400)
    events, core = await summarize_in_sections(sections=plan, samples=None, notes=NOTES, spoken_language="de",
                                               instruction_for_language=lambda tag: f"In {tag}.")  # fmt: skip
    assert [messages[1]["content"].split("</notes>")[0] for messages in core.asked] == [
        "<notes>\n[0:00:00]\n- Anna calls and wants to know when the boat leaves.\n- She comes by car.\n",
        "<notes>\n[0:05:00]\n- Ben sleeps, and nobody wants to wake him up.\n- It rains in the north.\n",
    ]
    assert all(messages[1]["content"].endswith("One of 2 in de.") for messages in core.asked)
    assert core.max_tokens == [200, 200]
    last = events[-1]
    assert isinstance(last, GenerationFinished)
    assert last.transcript is None
    assert [(section.start, section.end) for section in last.sections] == [(0, 0), (300, 300)]


async def test_notes_are_read_in_one_piece_if_the_request_needs_the_whole() -> None:
    _, core = await summarize_in_sections(samples=None, notes=NOTES)
    ((_, user),) = core.asked
    assert user["content"].startswith(f"<notes>\n{NOTES}\n</notes>")
    assert user["content"].endswith("Summarize.")


async def test_requests_for_the_same_recording_are_transcribed_once() -> None:
    transcriber = FakeTranscriber(segment("Anna is calling."))
    shared: SharedResult[Transcript] = SharedResult()
    for _ in range(3):
        events, _ = await generate(transcriber, Style(), shared_transcript=shared)
        last = events[-1]
        assert isinstance(last, GenerationFinished)
        assert last.transcript == "Anna is calling."
    assert transcriber.calls == 1
    await generate(transcriber, Style())
    assert transcriber.calls == 2


async def test_the_summary_is_asked_for_in_the_language_that_is_spoken() -> None:
    style = Style(length="short", instructions="No names.")  # type: ignore[call-arg]
    events, ((_, user),) = await generate(FakeTranscriber(segment("Anna ruft an."), language="de"), style)
    assert user["content"].endswith("in one paragraph. Use about 30 words. Write in German. No names.")
    last = events[-1]
    assert isinstance(last, GenerationFinished)
    assert last.recognition is not None
    assert (last.recognition.language, last.recognition.language_probability) == ("de", 0.95)
    assert (last.transcript, last.recognition.omitted_spans) == ("Anna ruft an.", ())


@pytest.mark.parametrize(
    ("language", "style", "end"),
    [
        ("en", Style(), "in one paragraph."),
        ("pl", Style(), "in one paragraph."),  # the model does not write Polish; a warning says so
        ("de", Style(language="fr"), "Write in French."),  # type: ignore[call-arg]
        ("de", Style(language="en"), "Write in English."),  # type: ignore[call-arg]
    ],
)
async def test_another_language_is_asked_for_only_where_the_caller_asks(language: str, style: Style, end: str) -> None:
    _, ((_, user),) = await generate(FakeTranscriber(segment("Words."), language=language), style)
    assert user["content"].endswith(end)


async def test_notes_are_merged_in_the_language_of_their_recording_and_as_plain_texts() -> None:
    _, ((system, user),) = await generate(
        FakeTranscriber(), Style(), samples=None, notes="[0:00:00]\n- Hola.", spoken_language="es"
    )
    assert isinstance(system["content"], str), "templates of text models take no parts"
    assert user["content"].endswith("Write in Spanish.")


async def test_what_was_not_understood_never_reaches_the_text_model() -> None:
    events, asked = await generate(FakeTranscriber(segment("I'm so much of a sloth", -1.3)), Style())
    assert asked == []
    (_, last) = events
    assert isinstance(last, GenerationFinished)
    assert (last.finish_reason, last.transcript, last.completion_tokens) == ("not_understood", "", 0)
    assert last.recognition is not None
    assert last.recognition.omitted_spans == ((0, 4),)


async def test_where_no_word_was_found_there_is_no_speech() -> None:
    events, asked = await generate(FakeTranscriber(), Style())
    assert (asked, events[-1].finish_reason) == ([], "no_speech")  # type: ignore[union-attr]


async def test_of_a_recording_that_is_understood_in_part_the_rest_is_left_out() -> None:
    hearing = FakeTranscriber(
        segment("Anna calls."), segment("Gargle.", -1.3, start=30), segment("Ben pays.", start=60)
    )
    events, ((_, user),) = await generate(hearing, Style())
    assert "Anna calls. Ben pays." in user["content"]
    assert "Gargle" not in user["content"]
    assert events[-1].recognition.omitted_spans == ((30, 34),)  # type: ignore[union-attr]


async def test_the_system_message_is_the_one_that_is_asked_for() -> None:
    _, ((first, _),) = await generate(FakeTranscriber(segment("Words.")), Style())
    assert first == {"role": "system", "content": SYSTEM_PROMPT}
    for material in ({}, {"samples": None, "notes": "[0:00:00]\n- Words."}):
        _, ((first, _),) = await generate(
            FakeTranscriber(segment("Words.")), Style(), system=UNTRAINED_STRUCTURED_SYSTEM_PROMPT, **material
        )
        assert first == {"role": "system", "content": UNTRAINED_STRUCTURED_SYSTEM_PROMPT}


async def test_the_recognizer_gets_the_vocabulary_and_its_segments_come_with_the_end() -> None:
    unclear = segment("Gargle.", -1.3, start=30)
    transcriber = FakeTranscriber(segment("Aoife calls."), unclear, segment("Ben pays.", start=60))
    events, _ = await generate(transcriber, Style(), vocabulary=("Aoife", "Ben"))
    assert transcriber.vocabularies == [("Aoife", "Ben")]
    last = events[-1]
    assert isinstance(last, GenerationFinished)
    assert [(one.start, one.text) for one in last.segments] == [(0, "Aoife calls."), (60, "Ben pays.")]
    events, _ = await generate(FakeTranscriber(unclear), Style())
    assert events[-1].segments == ()  # type: ignore[union-attr]
