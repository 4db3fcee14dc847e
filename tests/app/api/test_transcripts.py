"""The transcript beside a summary: in every format, on every route, with the times of the whole recording."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import pytest_asyncio

from app.core.asr.confidence import Recognition
from app.core.asr.transcript import TranscriptSegment
from app.engine.base import GenerationRequest
from app.engine.model_info import ModelInfo
from app.engine.scripted import ScriptedEngine
from tests.app.api.test_chat import ask
from tests.app.running_service import MODEL, PATH, Site, code, serving, wav
from tests.app.summarize.test_long_audio import minutes

CASCADE = replace(MODEL, kind="cascade")
ENGLISH = Recognition("en", 0.99, -0.2)
SEGMENTS = (
    TranscriptSegment(0.0, 1.25, "Maria calls.", -0.2, 1.1, 0.01),
    TranscriptSegment(1.25, 30.0, "The roof costs 4 < 5.", -0.3, 1.2, 0.02),
)
TEXT = "Maria calls. The roof costs 4 < 5."
FORMATS = {
    "text": TEXT,
    "verbose_json": TEXT,
    "srt": "1\n00:00:00,000 --> 00:00:01,250\nMaria calls.\n\n"
    "2\n00:00:01,250 --> 00:00:02,000\nThe roof costs 4 < 5.\n",
    "vtt": "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nMaria calls.\n\n"
    "00:00:01.250 --> 00:00:02.000\nThe roof costs 4 &lt; 5.\n",
}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hearing() -> AsyncIterator[Site]:
    """A service with a cascade."""
    engine = ScriptedEngine(transcript=TEXT, recognition=ENGLISH, segments=SEGMENTS)
    async with serving(engine, model=CASCADE) as running:
        yield running


@pytest.mark.parametrize(("wanted", "text"), FORMATS.items())
async def test_each_format_ends_where_the_recording_does(hearing: Site, wanted: str, text: str) -> None:
    answer = (await hearing.post(transcript=wanted)).json()
    found = answer["transcript"]
    assert (found["format"], found["language"], found["text"]) == (wanted, "en", text)
    assert answer["summary"] == "A scripted summary of what was said."
    if wanted == "verbose_json":
        assert found["segments"] == [
            {"id": 0, "start": 0.0, "end": 1.25, "text": "Maria calls.", "avg_logprob": -0.2,
             "compression_ratio": 1.1, "no_speech_prob": 0.01},
            {"id": 1, "start": 1.25, "end": 2.0, "text": "The roof costs 4 < 5.", "avg_logprob": -0.3,
             "compression_ratio": 1.2, "no_speech_prob": 0.02},
        ]  # fmt: skip
    else:
        assert found["segments"] is None


async def test_it_comes_with_data_in_the_last_event_of_a_stream_and_with_a_job(hearing: Site) -> None:
    assert (await hearing.post()).json()["transcript"] is None
    assert (await hearing.post(transcript="srt", response_format="json")).json()["transcript"]["text"]
    text = (await hearing.post(stream="true", transcript="srt")).text
    last = json.loads(text.split("\n\n")[-3].removeprefix("data: "))
    assert last["transcript"]["text"] == FORMATS["srt"]
    queued = await hearing.client.post(f"{PATH}/jobs", files={"file": wav()}, data={"transcript": "vtt"})
    job = queued.json()
    async with hearing.client.stream("GET", f"{PATH}/jobs/{job['id']}/events") as stream:
        await stream.aread()
    result = (await hearing.client.get(f"{PATH}/jobs/{job['id']}/result")).json()
    assert result["transcript"]["text"] == FORMATS["vtt"]


async def test_a_chat_has_it_among_what_it_says_about_the_first_choice(hearing: Site) -> None:
    answer = await ask(hearing, extra_body={"transcript": "srt"})
    assert answer.speechsum["transcript"]["text"] == FORMATS["srt"]
    chunks = await ask(hearing, stream=True, extra_body={"transcript": "srt"})
    assert chunks[-1].speechsum["transcript"]["text"] == FORMATS["srt"]


async def test_the_times_of_a_long_recording_are_those_of_the_whole(
    hearing: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Window by window, with silence between them that no window has."""

    def hear(request: GenerationRequest) -> list[TranscriptSegment]:
        if request.samples is None:
            return []
        middle = len(request.samples) / 32_000
        return [
            TranscriptSegment(0.5, middle, "First.", -0.2, 1.1, 0.01),
            TranscriptSegment(middle, 2 * middle + 9, "Second.", -0.2, 1.1, 0.01),
        ]

    monkeypatch.setattr(hearing.engine, "segments", hear)
    monkeypatch.setattr(hearing.service.summarizer, "find_speech", minutes)
    answer = (await hearing.post(wav(seconds=180), transcript="verbose_json")).json()
    assert [(one["start"], one["end"]) for one in answer["windows"]] == [(0, 50), (60, 110), (120, 170)]
    found = answer["transcript"]
    assert [(one["id"], one["start"], one["end"]) for one in found["segments"]] == [
        (0, 0.5, 25), (1, 25, 50), (2, 60.5, 85), (3, 85, 110), (4, 120.5, 145), (5, 145, 170),
    ]  # fmt: skip
    assert found["text"] == "First. Second. First. Second. First. Second."


async def test_speech_after_a_long_silence_has_its_place_in_the_recording(
    hearing: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing.service.summarizer, "find_speech", lambda samples, left: [(100.0, 130.0)])
    hearing.engine.requests.clear()
    answer = (await hearing.post(wav(seconds=180), transcript="verbose_json")).json()
    assert [(one["start"], one["end"]) for one in answer["transcript"]["segments"]] == [(100, 101.25), (101.25, 130)]
    (request,) = hearing.engine.requests
    assert len(np.asarray(request.samples)) == 30 * 16_000, "its times begin with the window"


async def test_where_nobody_speaks_it_is_empty(hearing: Site) -> None:
    answer = (await hearing.post(wav(amplitude=0), transcript="verbose_json")).json()
    assert answer["finish_reason"] == "no_speech"
    assert answer["transcript"] == {"format": "verbose_json", "language": None, "text": "", "segments": []}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"transcript": "pdf"}, "'text', 'srt', 'vtt' or 'verbose_json'"),
        ({"transcript": "srt", "response_format": "markdown"}, "requires response_format json or verbose_json"),
    ],
)
async def test_what_cannot_be_sent_is_refused(hearing: Site, fields: dict[str, str], said: str) -> None:
    response = await hearing.post(**fields)
    assert code(response) == (400, "invalid_field")
    assert said in response.json()["error"]["message"]


async def test_a_model_without_one_refuses_on_every_route_before_it_works(shared: Site) -> None:
    fields = {"transcript": "text"}
    responses = [
        await shared.post(**fields),
        await shared.client.post(PATH, content=wav(), params=fields),
        await shared.client.post(f"{PATH}/jobs", files={"file": wav()}, data=fields),
    ]
    for response in responses:
        assert code(response) == (400, "no_transcript")
        error = response.json()["error"]
        assert error["param"] == "transcript"
        assert "test-model@3 hears the recording itself" in error["message"]
        assert "this service knows none" in error["message"]
    with pytest.raises(Exception, match="no transcript"):
        await ask(shared, extra_body=fields)
    assert shared.engine.requests == []
    await shared.until_idle()


async def test_the_refusal_names_the_models_that_have_one(shared: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    hears = ModelInfo("cascade-x", "2", "cascade", max_seconds=60.0)
    models = shared.service.models
    monkeypatch.setattr(models, "known_models", [*models.known_models, hears])
    message = (await shared.post(transcript="text")).json()["error"]["message"]
    assert "Models that have one, but are not loaded here: cascade-x@2." in message
    loaded = SimpleNamespace(id=hears.id, info=hears, state=models.initial.state, adapters={})
    monkeypatch.setitem(models.by_id, hears.id, loaded)  # type: ignore[arg-type]
    message = (await shared.post(transcript="text")).json()["error"]["message"]
    assert "Models that have one, and answer here: cascade-x@2." in message
