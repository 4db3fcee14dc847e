"""What a connection may send before anybody knows who it is: by hand, on a real socket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.engine.scripted import ScriptedEngine
from tests.app.raw_http import request
from tests.app.running_service import PATH, Site, serving, until, wav

LIVE = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
SLOW = b"POST " + PATH.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n"
CHUNKED = SLOW.replace(b"content-length: 9", b"transfer-encoding: chunked") + b"\r\n"


class Wire:
    """One connection to a service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer, within five seconds."""
        async with asyncio.timeout(5):
            first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
            headers = dict(line.lower().split(": ", 1) for line in lines)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return int(first.split()[1]), headers, body

    async def refusal(self) -> tuple[int, str]:
        """Status and code of an error in OpenAI's shape, after which the connection is closed."""
        status, headers, body = await self.answer()
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert headers["connection"] == "close"
        assert headers["content-type"] == "application/json"
        assert headers["x-request-id"]
        await self.closed()
        return status, error["code"]

    async def closed(self) -> bytes:
        """What still comes until the other end closes, within five seconds."""
        async with asyncio.timeout(5):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


@asynccontextmanager
async def connect_wires(site: Site, number: int = 1, address: str = "127.0.0.1") -> AsyncIterator[list[Wire]]:
    opened = [
        Wire(*await asyncio.open_connection("127.0.0.1", site.port, local_addr=(address, 0))) for _ in range(number)
    ]
    try:
        yield opened
    finally:
        for one in opened:
            one.writer.close()


@asynccontextmanager
async def one_wire(**server: Any) -> AsyncIterator[Wire]:
    async with serving(server=server) as site, connect_wires(site) as (wire,):
        yield wire


def head_of(size: int) -> bytes:
    start = b"GET /livez HTTP/1.1\r\nhost: x\r\n"
    return start + b"x-pad: " + b"a" * (size - len(start) - 11) + b"\r\n\r\n"


HEADS: dict[str, tuple[bytes, tuple[int, str]]] = {
    "many bytes of headers": (b"GET / HTTP/1.1\r\n" + b"x-a: " + b"b" * 900_000, (431, "headers_too_large")),
    "many header lines": (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 4000, (431, "too_many_headers")),
    "just too many header lines": (
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n",
        (431, "too_many_headers"),
    ),
    "a long request line": (b"GET /" + b"a" * 900_000, (431, "headers_too_large")),
    "a long method": (b"A" * 900_000, (400, "invalid_http")),
    "a long header name": (b"GET / HTTP/1.1\r\n" + b"n" * 900_000, (431, "headers_too_large")),
    "empty lines for ever": (b"\r\n" * 450_000, (431, "headers_too_large")),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400, "invalid_http")),
    "two lengths": (LIVE[:-2] + b"content-length: 1\r\ncontent-length: 2\r\n\r\n", (400, "invalid_http")),
    "both a length and chunks": (
        LIVE[:-2] + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        (400, "invalid_http"),
    ),
    "a length that no number holds": (
        SLOW.replace(b": 9", b": " + b"9" * 5001) + b"\r\n",
        (400, "invalid_http"),
    ),
    "a tunnel": (b"CONNECT example.org:443 HTTP/1.1\r\nhost: example.org\r\n\r\n", (400, "invalid_http")),
    "a path that is none": (b"GET http://[::1 HTTP/1.1\r\nhost: x\r\n\r\n", (400, "invalid_http")),
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("what", HEADS)
async def test_a_head_that_is_refused(shared: Site, what: str) -> None:
    head, expected = HEADS[what]
    async with connect_wires(shared) as (wire,):
        wire.writer.write(head)
        assert await wire.refusal() == expected


@pytest.mark.asyncio(loop_scope="module")
async def test_a_length_of_many_zeros_is_the_number_behind_them(shared: Site) -> None:
    async with connect_wires(shared) as (wire,):
        await wire.send(SLOW.replace(b": 9", b": " + b"0" * 5000 + b"9") + b"\r\nnot audio")
        status, _, body = await wire.answer()
        assert (status, json.loads(body)["error"]["code"]) == (415, "unsupported_audio")


async def test_the_setting_moves_the_limits_of_a_head() -> None:
    async with serving(server={"header_bytes": 100_000, "header_count": 300}) as site, connect_wires(site) as (wire,):
        await wire.send(head_of(99_000))
        assert (await wire.answer())[0] == 200
        await wire.send(b"GET /livez HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 299 + b"\r\n")
        assert (await wire.answer())[0] == 200
        wire.writer.write(head_of(200_000))
        assert await wire.refusal() == (431, "headers_too_large")


async def test_three_hundred_megabytes_of_headers_are_not_read() -> None:
    async with one_wire() as wire:
        wire.writer.write(b"GET / HTTP/1.1\r\n")
        answer = asyncio.create_task(wire.reader.readuntil(b"\r\n\r\n"))
        with contextlib.suppress(ConnectionError):
            for _ in range(10_000):
                await wire.send(b"x-a: " + b"b" * 29_993 + b"\r\n")
                if answer.done():
                    break
        assert (await answer).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET /livez HTTP/1.1\r\nhost: "])
async def test_a_head_that_does_not_end_is_given_up(sent: bytes) -> None:
    async with one_wire(header_seconds=0.2) as wire:
        await wire.send(sent)
        if sent:
            assert await wire.refusal() == (408, "headers_timeout")
        else:
            assert await wire.closed() == b""  # it was silent, and so is the service


async def test_a_head_byte_by_byte_does_not_renew_its_time() -> None:
    async with one_wire(header_seconds=0.3) as wire:
        await wire.send(LIVE)
        assert (await wire.answer())[0] == 200

        async def drip() -> None:
            for byte in b"GET /livez HTTP/1.1\r\nx: " + b"y" * 1000:
                await wire.send(bytes([byte]))
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert await wire.refusal() == (408, "headers_timeout")
        dripping.cancel()


async def test_an_idle_connection_is_closed() -> None:
    async with one_wire(idle_seconds=1) as wire:
        await wire.send(LIVE)
        assert (await wire.answer())[0] == 200
        assert await wire.closed() == b""


async def test_many_idle_connections_do_not_keep_others_out() -> None:
    bounds = {"connections": 20, "connections_per_address": 10}
    async with (
        serving(server=bounds) as site,
        connect_wires(site, 60) as idle,
        connect_wires(site, 60, "127.0.0.2") as others,
    ):
        assert (await site.client.get("/livez")).status_code == 200
        async with connect_wires(site, 1, "127.0.0.3") as (wire,):
            await wire.send(LIVE)
            assert (await wire.answer())[0] == 200
        closed = [one.closed() for one in (*idle[:50], *others[:50])]
        assert set(await asyncio.gather(*closed)) == {b""}


async def test_connections_in_use_are_bounded_in_all_and_by_address() -> None:
    async with serving(server={"connections": 3, "connections_per_address": 2}) as site:
        half = SLOW + b"\r\nRIFF"
        async with connect_wires(site, 2) as first, connect_wires(site, 1, "127.0.0.2") as (other,):
            for one in (*first, other):
                await one.send(half)
            await until(lambda: site.service.admission.held_bytes == 12)
            async with connect_wires(site) as (wire,):
                assert await wire.refusal() == (429, "too_many_connections")
            async with connect_wires(site, 1, "127.0.0.3") as (wire,):
                assert await wire.refusal() == (503, "too_many_connections")
        await site.until_idle()
        assert (await site.client.get("/livez")).status_code == 200


async def test_a_proxy_that_is_trusted_may_open_as_many_as_it_needs() -> None:
    bounds = {"connections_per_address": 1, "trusted_proxies": ["127.0.0.0/8"]}
    async with serving(server=bounds) as site, connect_wires(site, 3) as wires:
        for one in wires:
            await one.send(SLOW + b"\r\nRIFF")
        await until(lambda: site.service.admission.held_bytes == 12)


TINY = b"1\r\nA\r\n" * 200_000
CHUNKS: dict[str, bytes] = {
    "of one byte each": TINY,
    "with an extension that does not end": b"1;" + b"x" * 900_000,
    "with long extensions": (b"1;" + b"x" * 1000 + b"\r\nA\r\n") * 900,
    "with a long size": b"0" * 900_000,
    "with trailers that do not end": b"0\r\n" + b"a: b\r\n" * 150_000,
    "with one long trailer": b"0\r\na: " + b"b" * 900_000,
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("what", CHUNKS)
async def test_chunks_that_cost_more_than_they_carry(shared: Site, what: str) -> None:
    async with connect_wires(shared) as (wire,):
        wire.writer.write(CHUNKED + CHUNKS[what])
        assert (await wire.refusal())[0] in (400, 413)
    await shared.until_idle()


@pytest.mark.asyncio(loop_scope="module")
async def test_chunks_of_any_usual_size_are_read(shared: Site) -> None:
    audio = wav(1)
    for size in (20, 160, 8192):
        chunks = [audio[start : start + size] for start in range(0, len(audio), size)]
        async with connect_wires(shared) as (wire,):
            await wire.send(CHUNKED, *(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks), b"0\r\nx: y\r\n\r\n")
            status, _, body = await wire.answer()
            assert (status, json.loads(body)["audio_seconds"]) == (200, 1.0)


async def test_a_client_that_reads_nothing_is_left() -> None:
    wordy = ScriptedEngine(("word " * 2000,) * 4000)
    async with serving(wordy, server={"write_seconds": 0.3}) as site, connect_wires(site) as (wire,):
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        head, body = request("summary stream", wav())
        await wire.send(head.replace(b"stream=true", b"stream=true&max_tokens=4000") + body)
        await until(lambda: site.connections == 1)
        await until(lambda: site.connections == 0)


async def test_the_rest_of_a_refused_upload_does_not_keep_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.middleware.drain_body.MAX_DRAIN_SECONDS", 0.2)
    async with serving() as site, connect_wires(site) as (wire,):
        await wire.send(b"POST /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nabc")

        async def drip() -> None:
            while True:
                await wire.send(b"x")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert b" 405 " in await wire.reader.readline()
        await wire.closed()
        dripping.cancel()


# --- a request behind another one


@pytest.mark.parametrize("behind", [LIVE, LIVE[:-9], LIVE * 3, LIVE * 5000, SLOW + b"\r\nRIFF", b"\r\n", b"nonsense"])
@pytest.mark.parametrize("way", ["summary", "summary stream"])
async def test_a_request_behind_does_not_hide_that_the_client_left(way: str, behind: bytes) -> None:
    async with serving() as site:
        site.engine.prefill_s = 30
        head, body = request(way, wav())
        async with connect_wires(site) as (wire,):
            await wire.send(head + body)
            await until(lambda: site.engine.running_requests == 1)
            await wire.send(behind)
            await asyncio.sleep(0.05)
            assert site.engine.running_requests == 1
        await until(lambda: site.engine.running_requests == 0, seconds=1)
        await site.until_idle()
        assert site.engine.aborted == 1


async def test_a_large_request_behind_does_not_hide_it_either() -> None:
    async with serving(ScriptedEngine()) as site:
        site.engine.prefill_s = 30
        head, body = request("summary", wav())
        large = request("summary", wav(60))
        async with connect_wires(site) as (wire,):
            await wire.send(head + body, *large)
            await until(lambda: site.engine.running_requests == 1)
        await until(lambda: site.engine.running_requests == 0, seconds=1)
        await site.until_idle()


async def test_requests_behind_one_another_are_answered_in_order() -> None:
    async with serving(ScriptedEngine(piece_s=0.01)) as site, connect_wires(site) as (wire,):
        head, body = request("summary", wav())
        await wire.send(head + body + LIVE + head + body + LIVE)
        bodies = [json.loads((await wire.answer())[2]) for _ in range(4)]
        assert [one.get("object") for one in bodies] == ["audio.summary", None, "audio.summary", None]
        await wire.send(LIVE)
        assert (await wire.answer())[0] == 200


async def test_too_many_requests_behind_one_another_end_with_the_connection() -> None:
    async with serving(ScriptedEngine(piece_s=0.05)) as site, connect_wires(site) as (wire,):
        head, body = request("summary", wav())
        wire.writer.write(head + body + LIVE * 1000)
        statuses = [(await wire.answer())[0] for _ in range(17)]
        assert statuses == [200] * 17
        assert await wire.closed() == b""


# --- upgrades


@pytest.mark.asyncio(loop_scope="module")
async def test_an_upgrade_that_is_not_made_leaves_the_request_as_it_is(shared: Site) -> None:
    more = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQ\r\n"
    head, body = request("summary", wav())
    async with connect_wires(shared) as (wire,):
        await wire.send(head[:-2] + more + b"\r\n", body)
        status, _, answer = await wire.answer()
        assert (status, json.loads(answer)["audio_seconds"]) == (200, 2.0)
        await wire.send(head[:-2] + more + b"\r\n" + body[:1000], body[1000:])
        assert (await wire.answer())[0] == 200
        await wire.send(LIVE[:-2] + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
        assert (await wire.answer())[0] == 200
