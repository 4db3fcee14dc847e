"""The event stream, read off a real socket by hand and by the real OpenAI client."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from app.core.errors import EngineDead
from app.engine.scripted import ScriptedEngine
from tests.app.running_service import PATH, Site, code, serving, wav

Event = dict[str, Any]


async def lines_of(site: Site, audio: bytes | None = None, **fields: str) -> AsyncIterator[str]:
    request = {"files": {"file": wav() if audio is None else audio}, "data": {"stream": "true", **fields}}
    async with site.client.stream("POST", PATH, **request) as response:  # type: ignore[arg-type]
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-request-id"]
        async for line in response.aiter_lines():
            yield line


async def events_of(site: Site, audio: bytes | None = None, **fields: str) -> list[Event]:
    """All events; checks that every data line but the last is JSON and that the last is [DONE]."""
    data = [line[6:] async for line in lines_of(site, audio, **fields) if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return [json.loads(text) for text in data[:-1]]


def openai_client(site: Site) -> openai.AsyncOpenAI:
    made = openai.AsyncOpenAI(api_key="none", base_url=f"http://127.0.0.1:{site.port}/v1", max_retries=0)
    site.closed_with_it.append(made)
    return made


async def openai_stream(site: Site, audio: bytes, **fields: str) -> list[Event]:
    """The events as the OpenAI package's own stream decoder hands them out."""
    async with openai_client(site) as client:
        stream = await client.post(
            "/audio/summaries",
            cast_to=object,
            body={"stream": "true", **fields},
            files={"file": ("recording.wav", audio)},
            options={"headers": {"content-type": "multipart/form-data"}},
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        return [event async for event in stream]  # type: ignore[misc]


async def test_progress_then_text_then_the_whole_answer(site: Site) -> None:
    events = await events_of(site, style="tldr")
    kinds = [event["object"].removeprefix("audio.summary.") for event in events]
    stages = [event["stage"] for event in events if "stage" in event]
    assert stages == ["received", "decode", "speech", "queue", "engine_prefill", "engine_decode"]
    assert kinds == ["progress"] * 6 + ["delta"] * 7 + ["done"]
    done = events[-1]
    assert "".join(event["delta"] for event in events if "delta" in event) == done["summary"]
    assert {(event["id"], event["created"], event["model"]) for event in events} == {
        (done["id"], done["created"], "test-model@3")
    }
    plain = (await site.post(style="tldr")).json()
    assert set(done) == set(plain)
    varying = {"id", "created", "object", "timings", "rtfx"}
    assert {k: v for k, v in done.items() if k not in varying} == {k: v for k, v in plain.items() if k not in varying}


async def test_silence_streams_its_answer_too(site: Site) -> None:
    events = await events_of(site, wav(amplitude=0))
    assert [event.get("stage") for event in events] == ["received", "decode", "speech", None]
    assert (events[-1]["summary"], events[-1]["finish_reason"]) == ("", "no_speech")


async def test_the_stream_opens_before_anything_is_done(site: Site) -> None:
    site.decoder.delay_s = 30
    lines = lines_of(site)
    first = await asyncio.wait_for(anext(lines), 2)
    assert json.loads(first[6:])["stage"] == "received"
    await lines.aclose()  # type: ignore[attr-defined]
    await site.until_idle()


async def test_text_comes_as_it_is_written() -> None:
    async with serving(ScriptedEngine(pieces=("first ", "second"), piece_s=0.15)) as site:
        loop = asyncio.get_running_loop()
        times = [loop.time() async for line in lines_of(site) if "audio.summary.delta" in line]
    assert times[1] - times[0] > 0.1


async def test_silence_on_the_line_is_filled_with_comments() -> None:
    async with serving(ScriptedEngine(prefill_s=0.35), timeouts={"keep_alive_seconds": 0.1}) as site:
        lines = [line async for line in lines_of(site)]
        assert 2 <= lines.count(": keep-alive") <= 4
        events = await openai_stream(site, wav())
        assert events[-1]["object"] == "audio.summary.done"


async def test_the_openai_client_reads_the_stream(site: Site) -> None:
    events = await openai_stream(site, wav(), style="bullets")
    assert events[0]["object"] == "audio.summary.progress"
    assert events[-1]["summary"] == "A scripted summary of what was said."
    assert "".join(event.get("delta", "") for event in events) == events[-1]["summary"]


async def test_line_breaks_of_every_kind_survive_both_readers() -> None:
    text = "one\ntwo\r\nthree\u2028four\u0085five\u2029 — ünï\x1e \0 [DONE] data: x"
    async with serving(ScriptedEngine(pieces=tuple(text))) as site:
        assert (await events_of(site))[-1]["summary"] == text
        assert (await openai_stream(site, wav()))[-1]["summary"] == text
        assert (await site.post()).json()["summary"] == text


@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize(
    ("error", "expected", "type_"),
    [
        (EngineDead("The engine died.", code="engine_dead"), "engine_dead", "server_error"),
        (ZeroDivisionError("secret"), "internal_error", "server_error"),
    ],
)
async def test_an_error_after_the_opening_is_an_error_object(
    site: Site, error: Exception, expected: str, type_: str, after: int
) -> None:
    site.engine.error, site.engine.error_after = error, after
    events = await events_of(site)
    assert set(events[-1]) == {"error"}
    assert (events[-1]["error"]["code"], events[-1]["error"]["type"]) == (expected, type_)
    assert "secret" not in events[-1]["error"]["message"]
    assert sum("delta" in event for event in events) == after
    with pytest.raises(openai.APIError) as caught:
        await openai_stream(site, wav())
    assert caught.value.code == expected
    assert caught.value.message == events[-1]["error"]["message"]
    await site.until_idle()


async def test_audio_too_long_is_an_error_in_the_stream() -> None:
    async with serving(limits={"decode_seconds": 3}) as site:
        assert (await events_of(site, wav(4)))[-1]["error"]["code"] == "audio_too_long"


async def test_the_deadline_holds_for_streams() -> None:
    async with serving(timeouts={"request_seconds": 0.4}) as site:
        site.engine.piece_s = 30
        assert (await events_of(site))[-1]["error"]["code"] == "deadline_exceeded"
        await site.until_idle()


async def test_what_can_be_refused_before_the_opening_has_its_status(site: Site) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await openai_stream(site, wav(), style="poem")
    assert (refused.value.code, refused.value.param) == ("invalid_field", "style")
    with pytest.raises(openai.APIStatusError) as unsupported:
        await openai_stream(site, b"no audio at all, only text")
    assert (unsupported.value.status_code, unsupported.value.code) == (415, "unsupported_audio")
    with pytest.raises(openai.NotFoundError):
        await openai_stream(site, wav(), model="another")
    site.engine.die()
    with pytest.raises(openai.InternalServerError):
        await openai_stream(site, wav())


async def test_the_engine_dying_ends_running_streams(site: Site) -> None:
    site.engine.piece_s = 0.1
    events: list[Event] = []
    async for line in lines_of(site):
        if line.startswith("data: {"):
            events.append(json.loads(line[6:]))
            if "delta" in events[-1]:
                site.engine.die()
    assert events[-1]["error"]["code"] == "engine_dead"
    assert code(await site.client.get("/livez")) == (503, "engine_dead")
