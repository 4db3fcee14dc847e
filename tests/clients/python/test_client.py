"""The clients against the real service with the scripted engine."""

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from speechsum_client import (
    AsyncClient,
    DeltaEvent,
    Forbidden,
    InvalidRequest,
    NotFound,
    ProgressEvent,
    SchemaMismatch,
    ServiceError,
    Summary,
    Unauthorized,
    Unprocessable,
    UnsupportedAudio,
)

from app.core.asr.confidence import Recognition
from app.core.asr.transcript import TranscriptSegment
from app.core.errors import Unprocessable as UndecodableAudio
from app.engine.scripted import SCRIPT, ScriptedEngine
from tests.app.api.test_audio_url import URL, run_fetching_site
from tests.app.running_service import MODEL, Site, wav
from tests.checks.threaded_service import serve_in_thread
from tests.clients.python.conftest import KEYS, Connect

TEXT = "".join(SCRIPT)
SEGMENTS = (TranscriptSegment(0.0, 1.5, "Maria calls.", -0.2, 1.1, 0.01),)


class Task(BaseModel):
    """A task."""

    who: str
    what: str = ""


class Call(BaseModel):
    """What a call was about."""

    urgent: bool
    tasks: list[Task]


STRUCTURED = '{"urgent": true, "tasks": [{"who": "Anna", "what": "pay"}]}'


@pytest.fixture
def json_engine(site: Site) -> Any:
    """The engine, which writes the JSON of a `Call` until the test ends."""
    site.engine.pieces = [STRUCTURED]
    yield site.engine
    site.engine.pieces = SCRIPT


def test_every_field_of_the_answer_is_there(service: Any) -> None:
    found = service.summarize(wav(), style="bullets", length=60, focus="the costs", language="de", seed=7)
    assert (found.summary, found.finish_reason, found.complete) == (TEXT, "stop", True)
    assert (found.style.style, found.style.length, found.style.focus, found.style.language) == (
        "bullets", "60", "the costs", "de",
    )  # fmt: skip
    assert (found.audio_seconds, found.audio.format, found.audio.sample_rate) == (2.0, "wav", 16_000)
    assert found.usage.completion_tokens == len(SCRIPT)
    assert found.windows[0].end == 2.0
    assert found.timings["total"] > 0
    assert found.model_extra == {}, "the service says nothing that the client has no field for"


def test_a_recording_comes_in_every_way(service: Any, tmp_path: Path) -> None:
    path = tmp_path / "a call.wav"
    path.write_bytes(wav())
    reading, writing = os.pipe()
    os.write(writing, wav(0.5))
    os.close(writing)
    with path.open("rb") as opened, os.fdopen(reading, "rb") as pipe:
        opened.seek(100)
        for recording in (str(path), path, wav(), bytearray(wav()), memoryview(wav()), io.BytesIO(wav()), opened):
            assert service.summarize(recording).audio_seconds == 2.0
        assert service.summarize(pipe).audio_seconds == 0.5
        assert not opened.closed


def test_what_is_no_recording_is_refused(service: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        service.summarize(tmp_path / "missing.wav")
    with pytest.raises(TypeError, match="binary"):
        service.summarize(io.StringIO("text"))
    with pytest.raises(TypeError, match="int"):
        service.summarize(7)


async def test_a_url_is_fetched_by_the_service() -> None:
    async with (
        run_fetching_site() as (site, _, _),
        AsyncClient(f"http://127.0.0.1:{site.port}/v1") as client,
    ):
        assert (await client.summarize(URL)).audio_seconds == 3
        assert [type(event) async for event in client.summarize_stream(URL)][-1] is Summary
        assert (await client.ask(URL, "Who pays?")).summary.audio_seconds == 3
        assert (await (await client.create_job(URL)).wait()).audio_seconds == 3


def test_a_url_that_the_service_does_not_fetch(service: Any) -> None:
    with pytest.raises(ServiceError) as raised:
        service.summarize("https://example.org/call.mp3")
    assert (raised.value.code, raised.value.param) == ("audio_url_disabled", "url")


def test_a_stream_tells_stages_and_pieces_and_the_summary(service: Any) -> None:
    *events, last = service.summarize_stream(wav(), style="tldr")
    stages = [event.stage for event in events if isinstance(event, ProgressEvent)]
    assert stages[:4] == ["received", "decode", "speech", "queue"]
    assert "".join(event.delta for event in events if isinstance(event, DeltaEvent)) == last.summary == TEXT
    assert (last.style.style, last.complete) == ("tldr", True)


def test_who_leaves_a_stream_ends_the_work(service: Any, site: Site) -> None:
    site.engine.piece_s, aborted = 0.05, site.engine.aborted
    try:
        stream = service.summarize_stream(wav())
        assert any(isinstance(event, DeltaEvent) for event in stream)
        stream.close()
        assert list(service.summarize_stream(wav()))[-1].summary == TEXT
        assert site.engine.aborted == aborted + 1
    finally:
        site.engine.piece_s = 0.0


def test_a_request_with_the_same_key_is_the_same_request(service: Any, site: Site) -> None:
    before = len(site.engine.requests)
    first, again = (service.summarize(wav(), idempotency_key=f"key of {id(service)}") for _ in range(2))
    assert first == again
    assert len(site.engine.requests) == before + 1
    assert service.summarize(wav()).id != first.id


def test_context_and_vocabulary_reach_the_model(service: Any, site: Site) -> None:
    given = {"context": "Agenda: the roof", "vocabulary": ["Aoife Gallagher", "Ben"]}
    service.summarize(wav(), **given)
    assert site.engine.requests[-1].vocabulary == ("Aoife Gallagher", "Ben")
    assert "\nAgenda: the roof\n" in site.engine.requests[-1].instruction
    assert list(service.summarize_stream(wav(), **given))[-1].transcript is None
    service.ask(wav(), "Who pays?", **given)
    assert site.engine.requests[-1].vocabulary == ("Aoife Gallagher", "Ben")
    assert "\nAgenda: the roof\n" in site.engine.requests[-1].instruction
    with pytest.raises(InvalidRequest) as raised:
        service.summarize(wav(), transcript="srt")
    assert (raised.value.code, raised.value.param) == ("no_transcript", "transcript")


def test_a_transcript_is_typed(connect: Connect) -> None:
    engine = ScriptedEngine(transcript="Maria calls.", recognition=Recognition("en", 0.99, -0.2), segments=SEGMENTS)
    with serve_in_thread(engine, model=replace(MODEL, kind="cascade")) as running:
        client = connect(f"http://127.0.0.1:{running.port}")
        found = client.summarize(wav(), transcript="verbose_json").transcript
        assert (found.format, found.language, found.text) == ("verbose_json", "en", "Maria calls.")
        (segment,) = found.segments
        assert (segment.start, segment.end, segment.text) == (0.0, 1.5, "Maria calls.")
        assert client.ask(wav(), "Who?", transcript="srt").summary.transcript.text.startswith("1\n00:00:00,000 --> ")
        assert client.create_job(wav(), transcript="text").wait().transcript.text == "Maria calls."


def test_a_schema_is_followed(service: Any, json_engine: Any) -> None:
    schema = Call.model_json_schema()
    found = service.summarize(wav(), json_schema=schema)
    assert found.structured == {"urgent": True, "tasks": [{"who": "Anna", "what": "pay"}]}
    assert found.parse(Call).tasks == [Task(who="Anna", what="pay")]
    other = service.summarize(wav(), response_format="json")  # with the service's own schema, which this JSON is not of
    assert other.structured is None
    assert other.warnings


def test_a_class_is_a_schema_and_is_filled_in(service: Any, json_engine: Any) -> None:
    found = service.summarize(wav(), json_schema=Call)
    assert found.data == Call(urgent=True, tasks=[Task(who="Anna", what="pay")])
    assert found.summary == STRUCTURED
    (*_, last) = service.summarize_stream(wav(), json_schema=Call)
    assert last.parse(Call) == found.data
    assert service.create_job(wav(), json_schema=Call).wait().parse(Call) == found.data


def test_nobody_speaks_and_nothing_is_filled_in(service: Any) -> None:
    found = service.summarize(wav(amplitude=0), json_schema=Call)
    assert (found.finish_reason, found.data) == ("no_speech", None)
    with pytest.raises(SchemaMismatch) as raised:
        found.parse(Call)
    assert raised.value.summary is found


def test_data_that_does_not_fit_the_class_is_told(service: Any, json_engine: Any) -> None:
    class Strict(BaseModel):
        urgent: bool
        caller: str

    with pytest.raises(SchemaMismatch, match="caller"):
        service.summarize(wav(), json_schema=Call.model_json_schema()).parse(Strict)


def test_questions_go_on(service: Any, site: Site) -> None:
    first = service.ask(wav(), "Who pays?")
    second = service.ask(wav(), "Until when?", history=first.history, temperature=0.5, seed=3)
    assert (first.text, second.text, second.model) == (TEXT, TEXT, "test-model@3")
    assert first.summary.audio_seconds == 2.0
    assert [turn.question for turn in second.history] == ["Who pays?", "Until when?"]
    heard = site.engine.requests[-1]
    assert [(turn.question, turn.answer) for turn in heard.turns] == [("Who pays?", TEXT)]
    assert ("Until when?" in heard.instruction, heard.temperature, heard.seed) == (True, 0.5, 3)


def test_models_are_listed(service: Any) -> None:
    (only,) = service.models()
    assert only == service.model("test-model") == service.models(all=True)[0]
    assert (only.id, only.loaded, only.languages, only.audio.max_seconds) == ("test-model@3", True, ["en", "de"], 60.0)
    assert only.model_extra == {}
    with pytest.raises(NotFound) as raised:
        service.model("no such model?")
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"style": "haiku"}, "style"), ({"stlye": "tldr"}, "stlye"), ({"length": "endless"}, "length")],
)
def test_a_field_that_is_wrong_is_named(fields: dict[str, Any], param: str, service: Any) -> None:
    with pytest.raises(InvalidRequest) as raised:
        service.summarize(wav(), **fields)
    assert raised.value.param == param
    assert param in raised.value.message
    assert raised.value.status == 400
    assert str(raised.value.request_id) in str(raised.value)


def test_errors_are_of_their_class(service: Any, site: Site, connect: Connect) -> None:
    with pytest.raises(UnsupportedAudio) as unsupported:
        service.summarize(b"this is a text and no recording" * 20)
    assert unsupported.value.code == "unsupported_audio"
    with pytest.raises(Unauthorized) as unauthorized:
        connect(f"http://127.0.0.1:{site.port}", "mallory").summarize(wav())
    assert unauthorized.value.code == "invalid_api_key"
    with pytest.raises(Unauthorized):
        connect(f"http://127.0.0.1:{site.port}").models()
    assert not issubclass(Unauthorized, Forbidden)


def test_an_error_is_the_same_in_a_stream(service: Any, site: Site) -> None:
    site.decoder.error = UndecodableAudio("It is damaged.", code="undecodable_audio", param="file")
    try:
        with pytest.raises(Unprocessable) as direct:
            service.summarize(wav())
        with pytest.raises(Unprocessable) as streamed:
            list(service.summarize_stream(wav()))
    finally:
        site.decoder.error = None
    assert (direct.value.status, streamed.value.status) == (422, None)
    assert direct.value.code == streamed.value.code == "undecodable_audio"
    assert direct.value.message == streamed.value.message == "It is damaged."
    assert KEYS[0] not in str(direct.value)
