"""Fetching: how much may come, and how long it may take; answers that are none."""

import asyncio
import gzip
import tracemalloc
from typing import Any

import pytest

from app.core.errors import Unavailable
from tests.app.fetch.helpers import AUDIO, URL, refusal
from tests.app.http_origin import HOST, PUBLIC, Reply, full, origin, redirect, reply, way
from tests.app.running_service import until

BOMB = gzip.compress(bytes(50_000_000))


@pytest.mark.parametrize("announced", [True, False])
async def test_too_many_bytes_are_refused_and_not_read(announced: bool) -> None:
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        length = str(10**12) if announced else None
        writer.write(reply(content_length=length))
        while not announced:
            writer.write(bytes(50_000))
            await writer.drain()
            sent += 50_000

    async with origin(wav=endless) as served:
        held: list[int] = []
        error = await refusal(way(served, limits={"upload_bytes": 100_000}), hold=held.append)
        assert (error.status, error.code) == (413, "upload_too_large")
        assert "100000" in error.message
        assert "SPEECHSUM_LIMITS__UPLOAD_BYTES" in error.message
        assert sum(held) <= (0 if announced else 100_000)
        await until(lambda: served.open == 0)
        assert sent < 20_000_000


async def test_just_at_the_limit_is_not_too_many() -> None:
    async with origin(wav=reply(AUDIO), more=reply(AUDIO + b"\0", content_length=None)) as served:
        to = way(served, limits={"upload_bytes": len(AUDIO)})
        assert await to.fetch(URL) == AUDIO
        assert (await refusal(to, f"http://{HOST}/more")).code == "upload_too_large"


@pytest.mark.parametrize(
    "answer",
    [
        reply(AUDIO, content_length=str(len(AUDIO) + 1)),  # broken off
        reply(AUDIO, content_length="-5"),
        reply(AUDIO, content_length="5, 6"),
        reply(AUDIO, content_length="many"),
        reply(b"zz\r\nno chunks\r\n", content_length=None, transfer_encoding="chunked"),
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000 + b"\r\n",
        b"\0",
    ],
    ids=["broken off", "negative", "two lengths", "no number", "no chunks", "nonsense", "endless head", "a null"],
)
async def test_an_answer_that_breaks_http_is_a_failure_of_the_other_side(answer: bytes) -> None:
    async with origin(wav=answer) as served:
        error = await refusal(way(served))
        assert (error.status, error.code) == (422, "audio_url_failed")


async def test_more_than_announced_is_not_read() -> None:
    async with origin(wav=reply(AUDIO + b"secret", content_length=str(len(AUDIO)))) as served:
        assert await way(served).fetch(URL) == AUDIO


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "GZIP"])
async def test_what_is_compressed_is_not_unpacked(coding: str) -> None:
    async with origin(wav=reply(BOMB, content_encoding=coding)) as served:
        tracemalloc.start()
        error = await refusal(way(served))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (error.status, error.code) == (422, "audio_url_failed")
        assert "compressed" in error.message
        assert peak < 10_000_000


@pytest.mark.parametrize(
    "status", ["204 No Content", "206 Partial Content", "304 Not Modified", "404 Not Found", "500 X"]
)
async def test_another_status_is_told_and_its_body_is_not(status: str) -> None:
    body = b"" if status[:3] in ("204", "304") else b"a secret of the origin"
    async with origin(wav=reply(body, status)) as served:
        error = await refusal(way(served))
        assert (error.status, error.code) == (422, "audio_url_failed")
        assert status[:3] in error.message


@pytest.mark.parametrize("after", ["nothing", "half a head", "head", "some bytes"])
async def test_a_pause_ends_it(after: str) -> None:
    async def pausing(writer: asyncio.StreamWriter) -> None:
        whole = reply(AUDIO)
        size = {"nothing": 0, "half a head": 10, "head": len(whole) - len(AUDIO), "some bytes": len(whole) - 1000}
        writer.write(whole[: size[after]])
        await asyncio.sleep(5)

    async with origin(wav=pausing) as served:
        error = await asyncio.wait_for(refusal(way(served, fetch={"idle_seconds": 0.2})), 2)
        assert (error.status, error.code) == (422, "audio_url_timeout")
        assert "SPEECHSUM_FETCH__IDLE_SECONDS" in error.message


@pytest.mark.parametrize("where", ["body", "head", "redirects"])
async def test_a_trickle_ends_too(where: str) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        whole = redirect("/wav") if where == "redirects" else reply(AUDIO)
        start = whole.index(b"\r\n\r\n") + 4 if where == "body" else 0
        step = 10 if where == "redirects" else 1
        writer.write(whole[:start])
        for position in range(start, len(whole), step):
            writer.write(whole[position : position + step])
            await writer.drain()
            await asyncio.sleep(0.03)

    async with origin(wav=trickle) as served:
        given = {"idle_seconds": 0.2, "seconds": 0.6, "redirects": 1000}
        error = await asyncio.wait_for(refusal(way(served, fetch=given)), 3)
        assert (error.status, error.code) == (422, "audio_url_timeout")
        assert "SPEECHSUM_FETCH__SECONDS" in error.message


async def test_the_request_s_own_time_bounds_it_too() -> None:
    async def never(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async with origin(wav=never) as served:
        error = await asyncio.wait_for(refusal(way(served, timeouts={"request_seconds": 0.2})), 2)
        assert "SPEECHSUM_TIMEOUTS__REQUEST_SECONDS" in error.message


async def test_a_resolver_that_does_not_answer_ends_it() -> None:
    async with origin(wav=reply(AUDIO)) as served:
        to = way(served, fetch={"connect_seconds": 0.2})
        to.names.delay_s = 5
        error = await asyncio.wait_for(refusal(to), 2)
        assert (error.status, error.code) == (422, "audio_url_timeout")
        assert "SPEECHSUM_FETCH__CONNECT_SECONDS" in error.message


async def test_a_host_that_does_not_answer_is_a_failure_of_the_other_side() -> None:
    async with origin(wav=reply(AUDIO)) as served:
        error = await refusal(way(served, dead=[PUBLIC]))
        assert (error.status, error.code) == (422, "audio_url_failed")


async def test_no_room_is_passed_on_and_the_connection_ended() -> None:
    def full(count: int) -> None:
        raise Unavailable("No room.", code="storage_full")

    async def endless(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(bytes(50_000))
            await writer.drain()

    async with origin(wav=_then(reply(content_length=None), endless)) as served:
        with pytest.raises(Unavailable, match="No room"):
            await way(served).fetch(URL, full)
        await until(lambda: served.open == 0)


async def test_a_full_disk_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    async with origin(wav=reply(AUDIO)) as served:
        with pytest.raises(Unavailable) as error:
            await way(served).fetch(URL)
        assert error.value.code == "disk_full"


async def test_whoever_gives_up_leaves_no_connection() -> None:
    async def never(writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with origin(wav=_then(reply(content_length=None), never)) as served:
        task = asyncio.create_task(way(served).fetch(URL))
        await until(lambda: served.open == 1)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: served.open == 0)


def _then(first: bytes, rest: Any) -> Reply:
    async def both(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await rest(writer)

    return both
