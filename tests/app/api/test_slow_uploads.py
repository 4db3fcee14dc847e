"""Senders that are slow on purpose keep nobody else out."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.app.raw_http import WAYS, request
from tests.app.running_service import PATH, Site, code, serving, until, wav

JOBS = f"{PATH}/jobs"


async def start_upload(site: Site, held: AsyncExitStack, way: str) -> asyncio.StreamReader:
    """A connection on which the first part of a request has been sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    held.callback(writer.close)
    head, body = request(way, wav())
    writer.write(head + body[:50])
    return reader


@pytest.mark.parametrize("way", WAYS)
async def test_as_many_slow_senders_as_there_are_places_take_none(way: str) -> None:
    async with serving(engine={"max_num_seqs": 2}, limits={"max_waiting": 2}) as site, AsyncExitStack() as held:
        for _ in range(20):
            await start_upload(site, held, way)
        await until(lambda: len(site.service.admission.uploads.in_progress) == 20)
        assert site.service.admission.active_requests == 0
        assert (await site.post()).status_code == 200


async def test_one_who_opens_too_many_uploads_is_told_so() -> None:
    async with serving(limits={"client_uploads": 3}) as site, AsyncExitStack() as held:
        for _ in range(3):
            await start_upload(site, held, "summary")
        await until(lambda: len(site.service.admission.uploads.in_progress) == 3)
        assert code(await site.post()) == (429, "too_many_uploads")
        assert code(await site.client.post(JOBS, files={"file": wav()})) == (429, "too_many_uploads")


async def test_a_stalled_upload_makes_room_for_one_that_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.admission.uploads.STALLED_SECONDS", 0.05)
    async with serving(limits={"client_uploads": 2}) as site, AsyncExitStack() as held:
        readers = [await start_upload(site, held, "summary") for _ in range(2)]
        await until(lambda: len(site.service.admission.uploads.in_progress) == 2)
        await asyncio.sleep(0.1)
        assert (await site.post()).status_code == 200
        answered = [asyncio.create_task(one.readuntil(b"}}")) for one in readers]
        done, others = await asyncio.wait(answered, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert [b" 408 " in one.result() and b"upload_displaced" in one.result() for one in done] == [True]
        for one in others:
            one.cancel()


@pytest.mark.parametrize("way", ["summary", "chat"])
async def test_a_sender_below_the_lowest_rate_is_given_up(way: str) -> None:
    timeouts = {"upload_idle_seconds": 0.3}
    async with serving(limits={"upload_bytes_per_second": 100_000}, timeouts=timeouts) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        head, body = request(way, wav())
        writer.write(head)

        async def drip() -> None:
            for byte in body:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        async with asyncio.timeout(5):
            answer = await reader.readuntil(b"}}")
        dripping.cancel()
        assert b" 408 " in answer
        assert b"UPLOAD_BYTES_PER_SECOND" in answer
        writer.close()
        await site.until_idle()


async def test_a_queue_that_filled_up_meanwhile_refuses_after_the_upload() -> None:
    async with serving(engine={"max_num_seqs": 1}, limits={"max_waiting": 0}) as site, AsyncExitStack() as held:
        site.engine.prefill_s = 0.5
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        held.callback(writer.close)
        head, body = request("summary", wav())
        writer.write(head + body[:50])
        await until(lambda: len(site.service.admission.uploads.in_progress) == 1)
        post = asyncio.create_task(site.post())
        await until(lambda: site.engine.running_requests == 1)
        writer.write(body[50:])
        assert b"queue_full" in await reader.readuntil(b"}}")
        assert (await post).status_code == 200
        await site.until_idle()
