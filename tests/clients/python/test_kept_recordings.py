"""The clients with recordings that the service keeps, and with several questions at once."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from speechsum_client import AnswerDeltaEvent, AnswerEvent, NotFound, RecordingId, RestartEvent, Summary
from speechsum_client.streams import SummaryStream

from app.engine.base import GenerationRequest
from app.engine.scripted import SCRIPT, ScriptedEngine
from tests.app.running_service import Site, wav
from tests.checks.threaded_service import serve_in_thread
from tests.clients.python.conftest import Connect
from tests.clients.python.faulty_server import SUMMARY

QUESTIONS = ["Who pays?", '["When?"] is asked']


def reply(request: GenerationRequest) -> Sequence[str]:
    return [request.instruction] if "-q" in request.request_id else SCRIPT


@pytest.fixture(scope="module")
def keeping_site() -> Iterator[Site]:
    """A service that keeps recordings."""
    with serve_in_thread(ScriptedEngine(reply), recordings={"seconds": 300}) as running:
        yield running


@pytest.fixture
def keeper(keeping_site: Site, connect: Connect) -> Any:
    """A client of that service."""
    return connect(f"http://127.0.0.1:{keeping_site.port}")


def test_an_id_takes_the_place_of_the_recording(keeper: Any) -> None:
    first = keeper.summarize(wav(), keep=True)
    assert isinstance(first.recording_id, RecordingId)
    second = keeper.summarize(first.recording_id, style="bullets")
    assert (second.style.style, second.recording_id) == ("bullets", first.recording_id)
    assert "decode" not in second.timings
    assert keeper.summarize(RecordingId(str(first.recording_id))).audio_seconds == 2
    answer = keeper.ask(first.recording_id, "Who pays?")
    assert answer.summary.recording_id == first.recording_id
    assert keeper.ask(first.recording_id, "When?", history=answer.history).text
    assert keeper.ask(wav(), "Who pays?", keep=True).summary.recording_id not in (None, first.recording_id)
    job = keeper.create_job(first.recording_id, style="tldr")
    assert job.wait(timeout=60).style.style == "tldr"


def test_it_is_looked_up_and_deleted(keeper: Any) -> None:
    summary = keeper.summarize(wav(), keep=True)
    found = keeper.recording(summary.recording_id)
    assert (found.id, found.expires_at, found.kept) == (summary.recording_id, summary.expires_at, "audio")
    assert found.model_extra == {}
    keeper.delete_recording(summary.recording_id)
    for call in (keeper.recording, keeper.summarize):
        with pytest.raises(NotFound) as refused:
            call(summary.recording_id)
        assert refused.value.code == "recording_not_found"


def test_a_text_that_is_no_id_is_still_a_path(keeper: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        keeper.summarize(str(tmp_path / "rec-0123"))


def test_questions_are_answered_one_by_one(keeper: Any) -> None:
    summary = keeper.summarize(wav(), questions=QUESTIONS)
    assert [(one.question, one.answer) for one in summary.answers] == [(text, text) for text in QUESTIONS]
    events = list(keeper.summarize_stream(wav(), questions=QUESTIONS))
    assert [one.delta for one in events if isinstance(one, AnswerDeltaEvent)] == QUESTIONS
    whole = [one for one in events if isinstance(one, AnswerEvent)]
    assert [(one.index, one.answer) for one in whole] == list(enumerate(QUESTIONS))
    assert isinstance(events[-1], Summary)
    assert [one.answer for one in events[-1].answers] == QUESTIONS


def read_all(stream: SummaryStream, *events: dict[str, Any]) -> list[Any]:
    """What a connection with these events hands out."""
    stream.begin()
    common = {"id": "sum-1", "created": 1, "model": "test-model@3"}
    return [found for event in events for found in stream.read(json.dumps({**common, **event}))]


def delta(text: str) -> dict[str, Any]:
    return {"object": "audio.summary.delta", "delta": text}


def piece(index: int, text: str) -> dict[str, Any]:
    return {"object": "audio.summary.answer.delta", "index": index, "delta": text}


def whole(index: int, text: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"question": "Who?", "finish_reason": "stop", "citations": [], "unsupported": None}
    return {"object": "audio.summary.answer", "index": index, "answer": text, **facts}


def test_after_a_repeat_no_answer_is_handed_out_twice() -> None:
    stream = SummaryStream()
    first = read_all(stream, delta("Anna pays."), piece(0, "Anna"), whole(0, "Anna"), piece(1, "On "))
    assert len(first) == 4
    events = [delta("Anna pays."), piece(0, "Anna"), whole(0, "Anna"), piece(1, "On "), piece(1, "Monday")]
    events += [whole(1, "On Monday"), piece(2, "No"), whole(2, "No"), {**SUMMARY, "object": "audio.summary.done"}]
    second = read_all(stream, *events)
    assert [(type(one).__name__, getattr(one, "index", None)) for one in second] == [
        ("AnswerEvent", 1), ("AnswerDeltaEvent", 2), ("AnswerEvent", 2), ("Summary", None),
    ]  # fmt: skip
    assert stream.is_done


def test_after_another_summary_all_answers_come_anew() -> None:
    stream = SummaryStream()
    read_all(stream, delta("Anna pays."), piece(0, "Anna"), whole(0, "Anna"))
    second = read_all(stream, delta("Bob pays."), piece(0, "Bob"), whole(0, "Bob"))
    assert isinstance(second[0], RestartEvent)
    assert [one.answer for one in second if isinstance(one, AnswerEvent)] == ["Bob"]
    assert [one.delta for one in second if isinstance(one, AnswerDeltaEvent)] == ["Bob"]
