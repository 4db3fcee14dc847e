"""A refusal reaches a client that is still sending, and a connection does not stay for long because of it."""

import asyncio
import time

import pytest

from app.api.middleware.drain_body import DrainRequestBody
from tests.app.running_service import PATH, Site, serving

PIECE = b"\0" * 65_536
HEAD = (
    f"POST {PATH} HTTP/1.1\r\nhost: here\r\ncontent-type: audio/wav\r\ncontent-length: 300000000\r\n"
    "connection: close\r\n\r\n"
).encode()


async def sends_before_reading(site: Site, pieces: int) -> bytes:
    """What is read by who sends on for a while after it was answered, as a proxy does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(HEAD)
    await asyncio.sleep(0.3)  # it is answered
    for _ in range(pieces):
        writer.write(PIECE)
        await writer.drain()
        await asyncio.sleep(0.02)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_refusal_is_read_by_who_is_still_sending() -> None:
    async with serving(limits={"upload_bytes": 1000}) as site:
        answer = await sends_before_reading(site, 20)
        assert b" 413 " in answer.splitlines()[0]
        assert b"upload_too_large" in answer


@pytest.mark.timing
async def test_the_answer_does_not_wait_for_the_body() -> None:
    async with serving(limits={"upload_bytes": 1000}) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(HEAD)
        began = time.monotonic()
        assert b"413" in await reader.readuntil(b"\r\n\r\n")
        assert b"upload_too_large" in await reader.readuntil(b"}}")
        assert time.monotonic() - began < 2
        writer.close()


@pytest.mark.timing
async def test_it_does_not_linger_for_ever() -> None:
    sent, waits = [], asyncio.Event()

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    async def receive() -> dict[str, object]:
        await waits.wait()
        raise AssertionError("nobody sends")

    async def send(message) -> None:  # type: ignore[no-untyped-def]
        sent.append(message)

    scope = {"type": "http", "headers": [(b"content-length", b"300000000")]}
    began = time.monotonic()
    await DrainRequestBody(app, seconds=0.2)(scope, receive, send)
    assert 0.15 < time.monotonic() - began < 2
    assert [(part.get("body"), part.get("more_body")) for part in sent[1:]] == [(b"no", True), (b"", False)]
