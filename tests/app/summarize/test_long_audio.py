"""A recording longer than one pass: nothing is lost without a warning, and each prompt has the caller's instruction."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
import pytest

from app.core import prompts
from app.core.audio.decode import DecodedAudio
from app.core.audio.limits import DecodeLimits
from app.core.audio.samples import Samples, create_unnamed_file
from app.core.errors import TooLarge, Unavailable
from app.core.prompts import Style
from app.engine.base import GenerationFinished, GenerationRequest
from app.engine.scripted import ScriptedEngine
from app.summarize.pipeline import Summarizer
from app.summarize.request import StageProgress, Summary, SummaryDelta, SummaryRequest
from app.workers.fair_scheduler import ANONYMOUS, Requester
from tests.app.running_service import MODEL, Site, WaveDecoder, serving, settings_for, wav

STYLE = Style(focus="the harbour", instructions="Name every ship")  # type: ignore[call-arg]
# Speech for 50 s of each minute.
SPEECH_S = 50
# What is fainter is amplified for the model.
QUIET = np.float32(0.1)


def minutes(samples: Samples, _: Any = None) -> list[tuple[float, float]]:
    """Stands in for the speech detector."""
    seconds = len(samples) / 16_000
    return [(start, min(start + SPEECH_S, seconds)) for start in range(0, int(seconds), 60)]


def fact(minute: int) -> str:
    return f"ship{minute}"


def write_ships(request: GenerationRequest) -> Sequence[str]:
    """Notes of a window by its loudness, which says where it lies; of notes, what is said in them."""
    if request.samples is None:
        return [f"{word} " for word in request.notes.split() if word.startswith("ship")]
    ship = fact(round(float(np.abs(request.samples).max() - QUIET) * 1000))
    return [f"{ship} ", "lies ", "in ", "the ", "harbour ", "and ", "waits ", "there"]


class LoudnessDecoder(WaveDecoder):
    """A recording whose every minute has its own loudness: minute n is n thousandths louder than `QUIET`."""

    async def decode(self, recording: BinaryIO, limits: DecodeLimits, requester: Requester = ANONYMOUS) -> DecodedAudio:
        recording.seek(0)
        count = int(recording.read())
        samples = np.repeat(np.arange(1, count + 1, dtype=np.float32) / 1000 + QUIET, 60 * 16_000)
        return DecodedAudio(samples, "wav", 16_000, 1, count * 60.0, [])


async def make_summarizer(engine: ScriptedEngine, **long: Any) -> Summarizer:
    await engine.start()
    return Summarizer(settings_for(long=long), MODEL, engine, LoudnessDecoder(), minutes)


async def summarize(
    count: int,
    pieces: Callable[[GenerationRequest], Sequence[str]] = write_ships,
    context: int = 8192,
    choices: int = 1,
    style: Style = STYLE,
    **long: Any,
) -> tuple[Summary, ScriptedEngine, list[StageProgress | SummaryDelta]]:
    engine = ScriptedEngine(pieces, context_tokens=context)
    events: list[StageProgress | SummaryDelta] = []
    summary_request = SummaryRequest(
        "long", create_unnamed_file(str(count).encode()), style, choice_count=choices, temperature=0.5, seed=10
    )
    return await (await make_summarizer(engine, **long)).summarize(summary_request, events.append), engine, events


async def test_every_window_is_read_and_the_summary_is_made_of_their_notes() -> None:
    summary, engine, events = await summarize(5)
    assert [(one.window.start, one.window.end) for one in summary.window_results] == [
        (start, start + 50) for start in range(0, 300, 60)
    ]
    assert summary.text.split() == ["ship1", "ship2", "ship3", "ship4", "ship5"]
    assert summary.complete
    assert summary.summarized_seconds == 250
    assert summary.warnings == []
    assert [one.windows for one in summary.choices[0].citations] == [(1, 2, 3, 4, 5)]
    assert summary.text == "".join(event.text for event in events if isinstance(event, SummaryDelta))
    done = [
        (event.stage, event.done, event.total) for event in events if isinstance(event, StageProgress) and event.total
    ]
    assert done == [*(("windows", n, 5) for n in range(6)), ("merge", 0, 1)]
    assert summary.completion_tokens == 5 * 8 + 5
    assert engine.running_requests == 0


async def test_what_fits_one_pass_is_read_in_one() -> None:
    summary, engine, _ = await summarize(1)
    assert len(engine.requests) == 1
    assert [(one.window.start, one.window.end, one.note) for one in summary.window_results] == [(0, 60, None)]
    assert summary.choices[0].citations == []


async def test_a_little_speech_in_a_long_silence_is_read_in_one_pass() -> None:
    engine = ScriptedEngine(write_ships)
    way = await make_summarizer(engine)
    way.find_speech = lambda samples, left: [(100.0, 130.0)]
    summary = await way.summarize(SummaryRequest("long", create_unnamed_file(b"5")), lambda _: None)
    assert [(one.window.start, one.window.end, one.note) for one in summary.window_results] == [(100, 130, None)]
    assert len(engine.requests) == 1
    assert summary.complete


async def test_the_callers_words_are_in_every_prompt_and_the_last_has_the_whole_style() -> None:
    _, engine, _ = await summarize(40, context=720)
    assert len(engine.requests) > 42, "notes were condensed on the way"
    for request in engine.requests:
        assert "Focus on the harbour." in request.instruction
        assert "Name every ship." in request.instruction
    last = engine.requests[-1]
    assert (last.instruction, last.request_id) == (prompts.instruction(STYLE), "long")
    assert last.max_tokens == STYLE.max_tokens


async def test_notes_that_do_not_fit_are_condensed_until_they_do_and_no_fact_is_lost() -> None:
    summary, engine, events = await summarize(60, context=720)
    assert sorted(summary.text.split(), key=lambda word: int(word[4:])) == [fact(n) for n in range(1, 61)]
    for request in engine.requests:
        used = engine.count_tokens(
            f"{prompts.SYSTEM_PROMPT} {request.notes} {prompts.NOTES_PREAMBLE} {request.instruction}"
        )
        assert used + request.max_tokens <= 720
    merges = [event for event in events if isinstance(event, StageProgress) and event.stage == "merge"]
    assert merges[-1] == StageProgress("merge", 0, 1)
    assert max(event.total or 0 for event in merges) > 1
    ids = [request.request_id for request in engine.requests]
    assert len(set(ids)) == len(ids)


async def test_notes_may_be_written_in_sections_of_which_three_windows_fit_one_prompt() -> None:
    _, engine, _ = await summarize(5, context=2000, style=Style())
    *notes, final = engine.requests
    room = 2000 - final.max_tokens
    for request in notes:
        assert request.sections is not None
        assert request.sections.total_tokens is not None
        assert request.max_tokens < request.sections.total_tokens < room / 3
        assert request.sections.instruction(2, None) == request.instruction
    assert final.sections is not None
    assert final.sections.total_tokens is None


async def test_notes_on_a_part_of_what_is_said_are_written_in_one_piece() -> None:
    _, engine, _ = await summarize(5)
    assert [request.sections for request in engine.requests] == [None] * 6


SEEDS = {10: "lies", 11: "waits", 12: "there"}


def pieces_for_seed(request: GenerationRequest) -> Sequence[str]:
    """Notes as ever; of them, a summary that ends by its seed."""
    last = request.samples is None and "-m" not in request.request_id
    return [*write_ships(request), *([SEEDS[request.seed or 0]] if last else [])]


@pytest.mark.parametrize(("minutes_long", "context", "notes"), [(5, 8192, 5), (40, 720, None)])
async def test_several_summaries_are_made_of_notes_that_are_made_once(
    minutes_long: int, context: int, notes: int | None
) -> None:
    one, engine_of_one, _ = await summarize(minutes_long, context=context)
    three, engine, events = await summarize(minutes_long, pieces_for_seed, context=context, choices=3)
    assert len(engine.requests) == len(engine_of_one.requests) + 2
    assert notes is None or len(engine.requests) == notes + 3
    assert len({request.request_id for request in engine.requests}) == len(engine.requests)
    last = engine.requests[-3:]
    assert [request.seed for request in last] == list(SEEDS)
    assert len({request.notes for request in last}) == 1
    assert {request.instruction for request in last} == {prompts.instruction(STYLE)}
    facts = one.text.split()
    assert [choice.text.split() for choice in three.choices] == [[*facts, name] for name in SEEDS.values()]
    assert [choice.citations[0].windows for choice in three.choices] == [one.choices[0].citations[0].windows] * 3
    assert three.window_results == one.window_results
    for number, choice in enumerate(three.choices):
        told = "".join(
            event.text for event in events if isinstance(event, SummaryDelta) and event.choice_index == number
        )
        assert told == choice.text
    assert three.completion_tokens == one.completion_tokens + 2 * len(facts) + 3
    assert three.prompt_tokens == one.prompt_tokens
    assert [event.done for event in events if isinstance(event, StageProgress) and event.stage == "windows"] == list(
        range(minutes_long + 1)
    )


async def test_where_nothing_was_noted_no_choice_makes_anything_up() -> None:
    summary, engine, _ = await summarize(3, lambda request: [], choices=2)
    assert [(choice.text, choice.finish_reason) for choice in summary.choices] == [("", "stop")] * 2
    assert len(engine.requests) == 3


async def test_an_instruction_that_leaves_no_room_is_refused_before_anything_is_read() -> None:
    engine = ScriptedEngine(write_ships, context_tokens=300)
    with pytest.raises(TooLarge) as caught:
        await (await make_summarizer(engine)).summarize(
            SummaryRequest("long", create_unnamed_file(b"5"), STYLE), lambda _: None
        )
    assert (caught.value.code, caught.value.param) == ("context_exceeded", "instructions")
    assert engine.requests == []


@pytest.mark.parametrize(
    ("bounds", "most"),
    [
        ({"windows_at_once": 3}, 3),
        ({"seconds_at_once": 120}, 2),  # two windows of 50 s
        ({"seconds_at_once": 10}, 1),
        ({"windows_at_once": 2, "seconds_at_once": 300}, 2),
    ],
)
async def test_only_so_many_windows_are_in_the_engine_at_once(bounds: dict[str, Any], most: int) -> None:
    engine = ScriptedEngine(write_ships, piece_s=0.01)
    await (await make_summarizer(engine, **bounds)).summarize(
        SummaryRequest("long", create_unnamed_file(b"12")), lambda _: None
    )
    assert engine.max_running == most


@pytest.mark.parametrize(
    ("of_the_model", "asked", "longest"), [(20.0, 0.0, 20.0), (20.0, 25.0, 25.0), (90.0, 0.0, 60.0), (0.0, 0.0, 60.0)]
)
async def test_a_models_own_windows_are_taken_where_no_others_are_asked_for(
    of_the_model: float, asked: float, longest: float
) -> None:
    settings, model = settings_for(long={"window_seconds": asked}), replace(MODEL, note_seconds=of_the_model)
    engine = ScriptedEngine(write_ships)
    await engine.start()
    reads = Summarizer(settings, model, engine, LoudnessDecoder(), minutes)
    summary = await reads.summarize(SummaryRequest("long", create_unnamed_file(b"2"), STYLE), lambda _: None)
    assert longest - 15 < max(one.window.seconds for one in summary.window_results) <= longest


async def test_shorter_windows_can_be_asked_for() -> None:
    summary, _, _ = await summarize(2, window_seconds=25.0)
    assert len(summary.window_results) >= 4
    assert all(one.window.seconds <= 25 for one in summary.window_results)
    assert summary.complete


@pytest.mark.parametrize(
    ("reason", "said"),
    [("length", "stopped at 1 tokens"), ("repetition", "repeat themselves"), ("no_speech", "no word was understood")],
)
async def test_what_is_wrong_with_a_window_is_said(reason: Any, said: str) -> None:
    class Faulty(ScriptedEngine):
        async def _play(self, request: GenerationRequest):  # type: ignore[no-untyped-def, override]
            async for event in super()._play(request):
                faulty = isinstance(event, GenerationFinished) and request.request_id == "long-w2"
                yield GenerationFinished(reason, 1, 1) if faulty else event

    summary = await (await make_summarizer(Faulty(write_ships))).summarize(
        SummaryRequest("long", create_unnamed_file(b"3")), lambda _: None
    )
    (warning,) = summary.warnings
    assert "window 2 (0:01:00 to 0:01:50)" in warning
    assert said in warning
    assert summary.complete


async def test_where_nothing_was_noted_nothing_is_made_up() -> None:
    summary, engine, _ = await summarize(3, lambda request: ["made up"] if request.samples is None else [])
    assert (summary.text, summary.finish_reason) == ("", "stop")
    assert all(request.samples is not None for request in engine.requests)
    assert len([warning for warning in summary.warnings if "nothing was noted down" in warning]) == 3


async def test_a_window_that_fails_ends_the_request_and_the_others() -> None:
    engine = ScriptedEngine(write_ships, piece_s=0.05, error=Unavailable("no more", code="engine_refused"))
    with pytest.raises(Unavailable, match="no more"):
        await (await make_summarizer(engine)).summarize(
            SummaryRequest("long", create_unnamed_file(b"30")), lambda _: None
        )
    assert engine.running_requests == 0
    assert len(engine.requests) < 30


@pytest.mark.parametrize("stage", ["windows", "merge"])
async def test_leaving_ends_every_window(stage: str) -> None:
    engine = ScriptedEngine(write_ships, prefill_s=0.02, piece_s=0.02)
    at_stage = asyncio.Event()
    way = await make_summarizer(engine)
    task = asyncio.create_task(
        way.summarize(
            SummaryRequest("long", create_unnamed_file(b"9")),
            lambda event: at_stage.set() if isinstance(event, StageProgress) and event.stage == stage else None,
        )
    )
    await at_stage.wait()
    await asyncio.sleep(0.01)
    assert engine.running_requests
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.running_requests == 0
    assert way.generator.limiter.available == settings_for().engine.max_num_seqs


async def test_the_answer_lists_windows_and_citations_and_the_stream_its_share() -> None:
    def pieces(request: GenerationRequest) -> Sequence[str]:
        return ["The roof ", "is mended."] if request.samples is None else ["- roof ", "mended"]

    async with serving(ScriptedEngine(pieces)) as site:
        site.service.summarizer.find_speech = minutes
        answer = (await site.post(wav(130))).json()
        assert [(one["index"], one["start"], one["end"]) for one in answer["windows"]] == [
            (1, 0, 50),
            (2, 60, 110),
            (3, 120, 130),
        ]
        assert answer["windows"][0]["note"] == "- roof mended"
        assert answer["complete"] is True
        assert answer["audio"]["summarized_seconds"] == 110
        times = [{"start": one["start"], "end": one["end"]} for one in answer["windows"]]
        cited = {"start": 0, "end": 19, "text": "The roof is mended.", "windows": [1, 2, 3], "times": times}
        assert answer["citations"] == [cited]
        assert answer["timings"]["long"] > 0
        assert await shares(site) == [
            ("windows", 0, 3),
            ("windows", 1, 3),
            ("windows", 2, 3),
            ("windows", 3, 3),
            ("merge", 0, 1),
        ]


async def shares(site: Site) -> list[tuple[str, int, int]]:
    import json

    text = (await site.post(wav(130), stream="true")).text
    events = [json.loads(line[6:]) for line in text.split("\n\n") if line.startswith("data: {")]
    assert events[-1]["object"] == "audio.summary.done"
    return [(one["stage"], one["done"], one["of"]) for one in events if one.get("of")]
