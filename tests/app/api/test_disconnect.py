"""A client that leaves: whatever was being done for it ends, in every stage, with and without a stream."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.audio.samples import Samples
from app.engine.scripted import ScriptedEngine
from tests.app.site import PATH, Site, loud, serving, until, value, wav


async def leave_when(site: Site, condition: Callable[[], bool], *, stream: bool, part: float = 1.0) -> None:
    """Send a request (or its first part), wait for the condition and close the connection."""
    before = value("speechsum_aborts_total"), value("speechsum_requests_total", outcome="aborted", kind="audio-llm")
    audio = wav(2)
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    head = f"POST {PATH}?stream={str(stream).lower()} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(audio)}\r\n\r\n"
    writer.write(head.encode() + audio[: round(len(audio) * part)])
    await writer.drain()
    await until(condition)
    assert value("speechsum_requests_in_progress") >= 1
    writer.close()
    await site.until_idle()
    after = value("speechsum_aborts_total"), value("speechsum_requests_total", outcome="aborted", kind="audio-llm")
    assert after == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_while_uploading(site: Site, stream: bool) -> None:
    await leave_when(site, lambda: site.service.admission.held_bytes > 0, stream=stream, part=0.5)
    assert site.engine.requests == []


@pytest.mark.parametrize("stream", [False, True])
async def test_while_decoding(site: Site, stream: bool) -> None:
    site.decoder.delay_s = 30
    await leave_when(site, lambda: site.decoder.running == 1, stream=stream)
    assert site.decoder.cancelled == 1
    assert site.engine.requests == []


@pytest.mark.parametrize("stream", [False, True])
async def test_while_looking_for_speech(site: Site, stream: bool) -> None:
    looking, left = threading.Event(), threading.Event()

    def slow(samples: Samples, _: Any) -> list[tuple[float, float]]:
        looking.set()
        left.wait(5)
        return loud(samples)

    site.service.summarizer.find = slow
    await leave_when(site, looking.is_set, stream=stream)
    left.set()
    assert site.engine.requests == []


@pytest.mark.parametrize("stream", [False, True])
async def test_while_waiting_for_the_engine(stream: bool) -> None:
    async with serving(ScriptedEngine(piece_s=0.06), engine={"max_num_seqs": 1}) as site:
        first = asyncio.create_task(site.post())
        await until(lambda: site.engine.running == 1)
        leaving = asyncio.create_task(
            leave_when(site, lambda: value("speechsum_queue_waiting") == 1, stream=stream),
        )
        assert (await first).status_code == 200
        await leaving
        assert value("speechsum_queue_waiting") == 0
        assert len(site.engine.requests) == 1
        assert (await site.post()).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_before_the_first_word(site: Site, stream: bool) -> None:
    site.engine.prefill_s = 30
    await leave_when(site, lambda: site.engine.running == 1, stream=stream)
    assert site.engine.aborted == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_in_the_middle_of_the_summary(stream: bool) -> None:
    async with serving(ScriptedEngine(("word ",) * 1000, piece_s=0.01)) as site:
        written = value("speechsum_first_token_seconds_count", kind="audio-llm")
        await leave_when(
            site, lambda: value("speechsum_first_token_seconds_count", kind="audio-llm") > written, stream=stream
        )
        assert site.engine.aborted == 1


async def test_twenty_leave_and_the_others_are_answered() -> None:
    async with serving(ScriptedEngine(piece_s=0.05), engine={"max_num_seqs": 8}) as site:
        posts = [asyncio.create_task(site.post(stream="true" if n % 3 else "false")) for n in range(40)]
        await until(lambda: site.engine.running == 8)
        for task in posts[::2]:
            task.cancel()
        answers = await asyncio.gather(*posts, return_exceptions=True)
        assert [answer.status_code for answer in answers[1::2]] == [200] * 20  # type: ignore[union-attr]
        assert all("scripted" in answer.text for answer in answers[1::2])  # type: ignore[union-attr]
        await site.until_idle()
        assert site.service.summarizer.writer.slots.free == 8
