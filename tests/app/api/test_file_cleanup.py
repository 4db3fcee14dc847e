"""A recording's file is closed as soon as its request has ended, however it ends: its bytes are on somebody's disk.

Without the garbage collector: what waits for it may lie there for long.
"""

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable, Iterator

import httpx
import pytest

from app.core.errors import Unprocessable
from app.engine.scripted import ScriptedEngine
from tests.app.raw_http import CHAT, WAYS, request
from tests.app.running_service import PATH, Site, serving, until, wav

JOBS = f"{PATH}/jobs"
LARGE = wav(70)  # more than is kept in memory
DAMAGED = b"RIFF\xff\xff\xff\xffWAVE" + bytes(2_000_000)
RAW = {"content-type": "application/octet-stream"}


@pytest.fixture(autouse=True)
def disable_garbage_collection() -> Iterator[None]:
    """No garbage collection while the test runs."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def open_files() -> int:
    """Files of this process that have no name."""
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{descriptor}").endswith("(deleted)")
        except FileNotFoundError:
            continue
    return found


def form(path: str, audio: bytes, **fields: str) -> Callable[[Site], Awaitable[httpx.Response]]:
    return lambda site: site.client.post(path, files={"file": audio}, data=fields)


def raw(path: str, audio: bytes) -> Callable[[Site], Awaitable[httpx.Response]]:
    return lambda site: site.client.post(path, content=audio, headers=RAW)


def chat(audio: bytes) -> Callable[[Site], Awaitable[httpx.Response]]:
    body = request("chat", audio)[1]
    return lambda site: site.client.post(CHAT, content=body)


ASKED: dict[str, tuple[Callable[[Site], Awaitable[httpx.Response]], int]] = {
    "answered": (form(PATH, LARGE), 200),
    "answered raw": (raw(PATH, LARGE), 200),
    "answered in a chat": (chat(LARGE), 200),
    "streamed": (form(PATH, LARGE, stream="true"), 200),
    "silence": (form(PATH, wav(70, 0)), 200),
    "no audio": (form(PATH, b"text" * 1_000_000), 415),
    "no audio raw": (raw(PATH, b"text" * 1_000_000), 415),
    "no audio in a chat": (chat(b"text" * 1_000_000), 415),
    "damaged": (form(PATH, DAMAGED), 422),
    "damaged in a chat": (chat(DAMAGED), 422),
    "an unknown field": (form(PATH, LARGE, nonsense="1"), 400),
    "an unknown model": (form(PATH, LARGE, model="nobody"), 404),
    "sent and named": (form(PATH, LARGE, url="https://example.org/a.wav"), 400),
    "too large": (form(PATH, wav(400)), 413),
    "too large raw": (raw(PATH, wav(400)), 413),
    "a job of no audio": (form(JOBS, b"text" * 1_000_000), 415),
    "a job with an unknown field": (form(JOBS, LARGE, nonsense="1"), 400),
}


@pytest.mark.parametrize("how", ASKED)
async def test_whatever_the_answer(how: str) -> None:
    async with serving(limits={"upload_bytes": 10_000_000}) as site:
        before = open_files()
        ask, status = ASKED[how]
        assert (await ask(site)).status_code == status
        await site.until_idle()
        await until(lambda: open_files() == before, open_files, seconds=1)


async def test_a_job_that_has_ended() -> None:
    async with serving() as site:
        before = open_files()
        place = (await site.client.post(JOBS, files={"file": LARGE})).headers["location"]
        await site.client.get(f"{place}/events")  # to its end
        assert (await site.client.get(place)).json()["state"] == "succeeded"
        await until(lambda: open_files() == before, open_files, seconds=1)


async def test_when_the_decoder_or_the_engine_fails() -> None:
    async with serving() as site:
        before = open_files()
        site.decoder.error = Unprocessable("It is damaged.", code="undecodable_audio", param="file")
        assert (await site.post(LARGE)).status_code == 422
        site.decoder.error, site.engine.error = None, RuntimeError("unforeseen")
        assert (await site.post(LARGE)).status_code == 500
        assert "internal_error" in (await site.post(LARGE, stream="true")).text
        await until(lambda: open_files() == before, open_files, seconds=1)


@pytest.mark.parametrize("part", [0.5, 1.0])
@pytest.mark.parametrize("way", WAYS)
async def test_when_the_caller_leaves(way: str, part: float) -> None:
    async with serving(ScriptedEngine()) as site:
        before = open_files()
        site.decoder.delay_s = 30
        head, body = request(way, LARGE)
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(head + body[: round(len(body) * part)])
        await writer.drain()
        await until(lambda: site.service.admission.held_bytes > 1_000_000 and (part < 1 or site.decoder.running == 1))
        writer.close()
        await site.until_idle()
        await until(lambda: open_files() == before, open_files, seconds=1)


async def test_when_the_caller_leaves_a_form_half_sent() -> None:
    async with serving() as site:
        before = open_files()
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        part = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + LARGE
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=x\r\n"
        writer.write(f"{head}content-length: {len(part) + 1000}\r\n\r\n".encode() + part)
        await writer.drain()
        await until(lambda: site.service.admission.held_bytes > 1_000_000)
        writer.close()
        await site.until_idle()
        await until(lambda: open_files() == before, open_files, seconds=1)
