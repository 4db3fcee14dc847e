"""`Idempotency-Key` on the routes that answer at once."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest

from app.engine.scripted import ScriptedEngine
from tests.app.running_service import Site, code, serving, until, wav

Answer = httpx.Response
Ask = Callable[..., Awaitable[Answer]]
KEY = {"idempotency-key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


async def summary(
    site: Site, audio: bytes | None = None, headers: dict[str, str] = KEY, **fields: str
) -> httpx.Response:
    files = {"file": ("recording.wav", wav() if audio is None else audio)}
    return await site.client.post("/v1/audio/summaries", files=files, data=fields, headers=headers)


async def chat(site: Site, audio: bytes | None = None, headers: dict[str, str] = KEY, **fields: str) -> Answer:
    """The same in a chat: the language in words."""
    data = base64.b64encode(wav() if audio is None else audio).decode()
    parts = [
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
        {"type": "text", "text": f"Write in {fields.pop('language', 'en')}."},
    ]
    more = {name: json.loads(value) for name, value in fields.items()}
    body = {"model": "test-model", "messages": [{"role": "user", "content": parts}], **more}
    return await site.client.post("/v1/chat/completions", json=body, headers=headers)


@pytest.fixture(params=[summary, chat], ids=["summary", "chat"])
def ask(request: pytest.FixtureRequest) -> Ask:
    asked: Ask = request.param
    return asked


async def test_a_repeat_gets_the_first_answer_and_costs_nothing(site: Site, ask: Ask) -> None:
    first, again = [await ask(site, language="de") for _ in range(2)]
    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(site.engine.requests) == 1
    await site.until_idle()


async def test_a_repeated_stream_is_the_same_stream(site: Site, ask: Ask) -> None:
    first, again = [await ask(site, stream="true") for _ in range(2)]
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.content == first.content
    assert again.text.endswith("data: [DONE]\n\n")
    assert len(site.engine.requests) == 1
    await site.until_idle()


@pytest.mark.parametrize("other", [{"language": "fr"}, {"audio": wav(1.0)}, {"seed": "1"}])
async def test_another_request_under_the_same_key_is_refused(site: Site, ask: Ask, other: dict[str, str]) -> None:
    await ask(site)
    assert code(await ask(site, **other)) == (422, "idempotency_key_reused")
    await site.until_idle()


async def test_a_repeat_in_flight_is_told_to_wait(ask: Ask) -> None:
    engine = ScriptedEngine()
    async with serving(engine) as site:
        engine.prefill_s = 0.5
        first = asyncio.create_task(ask(site))
        await until(lambda: engine.running_requests == 1)
        early = await ask(site)
        assert code(early) == (409, "idempotency_in_flight")
        assert early.headers["x-should-retry"] == "true"
        assert (await first).status_code == 200
        assert (await ask(site)).content == (await first).content


async def test_a_failure_is_not_kept(site: Site, ask: Ask) -> None:
    for stream in ("false", "true"):
        key = {"idempotency-key": f"key {stream}"}
        site.decoder.error = RuntimeError("a fault")
        failed = await ask(site, headers=key, stream=stream)
        assert "internal_error" in failed.text
        site.decoder.error = None
        served = await ask(site, headers=key, stream=stream)
        assert "internal_error" not in served.text
        assert "idempotent-replayed" not in served.headers
    await site.until_idle()


async def test_who_left_can_ask_again(ask: Ask) -> None:
    engine = ScriptedEngine()
    async with serving(engine) as site:

        async def asked_until_free(**fields: str) -> httpx.Response:
            for _ in range(1000):  # a moment after the request is gone its key is free
                served = await ask(site, **fields)
                if served.status_code not in (409, 422):  # 422: one that asked for a stream still has it
                    break
                await asyncio.sleep(0.02)
            return served

        engine.prefill_s = 30
        for stream in ("false", "true"):
            leaving = asyncio.create_task(asked_until_free(stream=stream))
            await until(lambda: engine.running_requests == 1, seconds=60)
            leaving.cancel()
            await site.until_idle()
        engine.prefill_s = 0
        assert (await asked_until_free()).status_code == 200


async def test_keys_of_different_callers_are_different_keys(ask: Ask) -> None:
    async with serving(auth={"keys": ["anna", "bob"]}) as site:
        for name in ("anna", "bob"):
            response = await ask(site, headers=KEY | {"authorization": f"Bearer {name}"})
            assert "idempotent-replayed" not in response.headers
        assert len(site.engine.requests) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "t\tab"])
async def test_a_key_that_is_none_is_refused(site: Site, ask: Ask, key: str) -> None:
    response = await ask(site, headers={"idempotency-key": key})
    assert code(response) == (400, "invalid_idempotency_key")
    await site.until_idle()


async def test_a_key_is_for_one_route_alone(site: Site) -> None:
    await summary(site)
    assert code(await chat(site)) == (422, "idempotency_key_reused")
    await site.until_idle()


async def test_several_answers_of_a_chat_are_repeated_too(site: Site) -> None:
    first, again = [await chat(site, n="2") for _ in range(2)]
    assert [choice["index"] for choice in again.json()["choices"]] == [0, 1]
    assert again.content == first.content
    assert len(site.engine.requests) == 2


async def test_without_a_key_a_chat_is_answered_anew(site: Site) -> None:
    first, again = [await chat(site, headers={}) for _ in range(2)]
    assert first.json()["id"] != again.json()["id"]
    assert len(site.engine.requests) == 2
