"""`stream=true` with `response_format` text or markdown: the text as it is written, and an end that is no guess."""

import asyncio
import json

import httpx
import pytest

from app.core import prompts
from app.core.errors import EngineDead, TooLarge
from app.engine.scripted import ScriptedEngine
from tests.app.running_service import PATH, Site, code, serving, until, wav

TEXT = "A scripted summary of what was said."
KEY = {"idempotency-key": "5f7f8f2e-52c9-4c5e-9d7b-1d1f0a2f5f11"}


@pytest.mark.parametrize(("name", "media"), [("text", "text/plain"), ("markdown", "text/markdown")])
async def test_the_text_comes_in_chunks_as_it_is_written(site: Site, name: str, media: str) -> None:
    whole = await site.post(response_format=name)
    site.engine.piece_s = 0.02
    files = {"file": ("recording.wav", wav())}
    fields = {"stream": "true", "response_format": name}
    async with site.client.stream("POST", PATH, files=files, data=fields) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == f"{media}; charset=utf-8"
        assert response.headers["transfer-encoding"] == "chunked"
        assert response.headers["x-summary-model"] == "test-model@3"
        assert response.headers["x-summary-kind"] == "audio-llm"
        assert response.headers["x-summary-id"].startswith("sum-")
        pieces = [piece async for piece in response.aiter_text()]
        assert len(pieces) > 1
    assert "".join(pieces) == whole.text == TEXT
    assert (prompts.MARKDOWN_INSTRUCTION in site.engine.requests[-1].instruction) == (name == "markdown")


async def test_a_raw_body_is_streamed_as_text_too(site: Site) -> None:
    asked = {"stream": "true", "response_format": "text"}
    assert (await site.client.post(PATH, content=wav(), params=asked)).text == TEXT


async def test_nothing_said_is_an_empty_text_with_all_headers(site: Site) -> None:
    answer = await site.post(wav(2, amplitude=0), stream="true", response_format="text")
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["x-summary-finish-reason"] == "no_speech"
    assert answer.headers["x-summary-complete"] == "true"
    assert json.loads(answer.headers["x-summary-warnings"]) == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TooLarge("Too long.", code="audio_too_long", param="file"), (413, "audio_too_long")),
        (ValueError("x"), (500, "internal_error")),
    ],
)
async def test_what_fails_before_the_first_word_is_an_error_of_its_own(
    site: Site, error: Exception, expected: tuple[int, str]
) -> None:
    site.decoder.error = error
    answer = await site.post(stream="true", response_format="text")
    assert code(answer) == expected
    assert answer.headers["content-type"] == "application/json"
    await site.until_idle()


@pytest.mark.parametrize("error", [EngineDead("The engine died.", code="engine_dead"), ValueError("x")])
async def test_what_fails_in_the_middle_is_no_clean_end(error: Exception) -> None:
    async with serving() as site:
        site.engine.error, site.engine.error_after = error, 3
        read = bytearray()

        async def all_of_it() -> None:
            files = {"file": ("recording.wav", wav())}
            fields = {"stream": "true", "response_format": "text"}
            async with site.client.stream("POST", PATH, files=files, data=fields, headers=KEY) as response:
                assert response.status_code == 200
                async for piece in response.aiter_raw():
                    read.extend(piece)

        with pytest.raises(httpx.RemoteProtocolError):
            await all_of_it()
        assert read == b"A scripted summary "
        await site.until_idle()
        # Failures are not kept: the key is free again.
        site.engine.error = None
        again = await site.post(stream="true", response_format="text", headers=KEY)
        assert (again.text, "idempotent-replayed" in again.headers) == (TEXT, False)


async def test_a_repeat_gets_the_same_text_and_how_it_ended(site: Site) -> None:
    asked = {"stream": "true", "response_format": "text", "max_tokens": "2"}
    first, again = [await site.post(headers=KEY, **asked) for _ in range(2)]
    assert again.text == first.text == "A scripted "
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-summary-id"] == first.headers["x-summary-id"]
    assert again.headers["x-summary-finish-reason"] == "length"
    assert len(site.engine.requests) == 1


@pytest.mark.parametrize("written", [0, 2])
async def test_a_reader_who_leaves_ends_the_work(written: int) -> None:
    async with serving(ScriptedEngine(("word ",) * 1000)) as site:
        site.engine.piece_s = 30 if written == 0 else 0.01
        files = {"file": ("recording.wav", wav())}
        fields = {"stream": "true", "response_format": "text"}
        if written:
            async with site.client.stream("POST", PATH, files=files, data=fields) as response:
                await anext(response.aiter_raw())
        else:
            asking = asyncio.create_task(site.client.post(PATH, files=files, data=fields))
            await until(lambda: site.engine.running_requests == 1)
            asking.cancel()
        await site.until_idle()
        assert site.engine.aborted == 1


async def test_data_and_details_are_still_told_in_events(site: Site) -> None:
    for name in ("json", "verbose_json"):
        answer = await site.post(stream="true", response_format=name)
        assert answer.headers["content-type"].startswith("text/event-stream")
