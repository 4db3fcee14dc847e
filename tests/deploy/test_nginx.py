"""Behind nginx, by the file that deploy/ ships: streams flow and are not cut, what is long or large goes through."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.engine.scripted import SCRIPT, ScriptedEngine
from tests.app.running_service import PATH, Site, code, serving, until, wav
from tests.deploy.nginx import in_front_of

DEFAULT = None  # nginx's own proxy_read_timeout: 60 s


@asynccontextmanager
async def proxied(
    folder: Path, engine: ScriptedEngine, read_timeout: str | None = "910s", keep_alive: float = 10, **limits: int
) -> AsyncIterator[tuple[Site, httpx.AsyncClient]]:
    """A service, and a client that reaches it through nginx."""
    server = {"trusted_proxies": ["127.0.0.1"]}  # as docs/deploy.md says
    async with serving(engine, timeouts={"keep_alive_seconds": keep_alive}, limits=limits, server=server) as site:
        with in_front_of(site.port, folder, read_timeout) as port:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as client:
                yield site, client


async def lines_of(client: httpx.AsyncClient) -> AsyncIterator[str]:
    """The lines of a streamed summary as they come."""
    files, data = {"file": ("recording.wav", wav())}, {"stream": "true"}
    async with client.stream("POST", PATH, files=files, data=data) as response:
        assert response.status_code == 200
        async for line in response.aiter_lines():
            yield line


async def summary_after_silence(folder: Path, silence: float, read_timeout: str | None, keep_alive: float) -> int:
    """Stream from a model that is silent first; checks the summary, gives how many comments filled the silence."""
    engine = ScriptedEngine(prefill_s=0)
    async with proxied(folder, engine, read_timeout, keep_alive) as (_, client):
        engine.prefill_s = silence
        began = time.monotonic()
        lines = [line async for line in lines_of(client)]
        assert time.monotonic() - began >= silence
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        assert data[-1] == "[DONE]"
        assert json.loads(data[-2])["summary"] == "".join(SCRIPT)
        return lines.count(": keep-alive")


async def test_a_silence_longer_than_nginx_waits_does_not_cut_a_stream(tmp_path: Path) -> None:
    assert await summary_after_silence(tmp_path, 5, "2s", 0.5) >= 3


@pytest.mark.slow
async def test_a_minute_of_silence_does_not_cut_a_stream(tmp_path: Path) -> None:
    comments = await summary_after_silence(tmp_path, 65, DEFAULT, 10)
    print(f"65 s of silence behind nginx's default of 60 s: whole, {comments} keep-alive comments")
    assert comments >= 5


async def test_it_is_the_comments_that_keep_it(tmp_path: Path) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await summary_after_silence(tmp_path, 5, "2s", 60)


@pytest.mark.timing
async def test_events_are_not_held_back(tmp_path: Path) -> None:
    engine = ScriptedEngine(("one ", "two ", "three "))
    async with proxied(tmp_path, engine) as (_, client):
        engine.piece_s = 0.4
        times = [time.monotonic() async for line in lines_of(client) if "audio.summary.delta" in line]
    assert len(times) == 3
    assert all(0.2 < later - sooner < 2 for sooner, later in itertools.pairwise(times)), times


async def silent_answer(folder: Path, silence: float) -> None:
    engine = ScriptedEngine()
    async with proxied(folder, engine) as (_, client):
        engine.prefill_s = silence
        answer = await client.post(PATH, files={"file": wav()})
        assert answer.json()["summary"] == "".join(SCRIPT)


async def test_an_answer_in_one_piece_comes_through(tmp_path: Path) -> None:
    await silent_answer(tmp_path, 0)


@pytest.mark.slow
async def test_an_answer_in_one_piece_may_take_longer_than_a_minute(tmp_path: Path) -> None:
    await silent_answer(tmp_path, 65)


async def test_a_recording_of_many_megabytes_goes_through(tmp_path: Path) -> None:
    async with proxied(tmp_path, ScriptedEngine()) as (_, client):
        audio = wav(300)
        assert len(audio) > 9_000_000
        assert (await client.post(PATH, files={"file": audio})).json()["audio_seconds"] == 300


async def test_a_refusal_of_the_service_is_what_the_caller_reads(tmp_path: Path) -> None:
    async with proxied(tmp_path, ScriptedEngine(), upload_bytes=1000) as (_, client):
        assert code(await client.post(PATH, files={"file": wav(60)})) == (413, "upload_too_large")


async def test_who_leaves_ends_the_work_behind_nginx(tmp_path: Path) -> None:
    async with proxied(tmp_path, ScriptedEngine(("word ",) * 500)) as (site, client):
        site.engine.piece_s = 0.02
        post = asyncio.create_task(client.post(PATH, files={"file": wav()}))
        await until(lambda: site.engine.running_requests == 1)
        post.cancel()
        await site.until_idle()
        assert site.engine.aborted == 1


async def test_callers_are_told_apart_by_their_own_addresses(tmp_path: Path) -> None:
    async with proxied(tmp_path, ScriptedEngine(), client_concurrency=1) as (site, client):
        site.engine.prefill_s = 1
        others = [httpx.AsyncHTTPTransport(local_address=f"127.0.0.{number}") for number in (2, 3)]
        clients = [httpx.AsyncClient(base_url=client.base_url, transport=other, timeout=20) for other in others]
        posts = [asyncio.create_task(one.post(PATH, files={"file": wav()})) for one in clients]
        await until(lambda: site.engine.running_requests == 2)
        assert code(await clients[0].post(PATH, files={"file": wav()})) == (429, "too_many_requests")
        assert [answer.status_code for answer in await asyncio.gather(*posts)] == [200, 200]
        for one in clients:
            await one.aclose()


async def test_metrics_are_not_for_the_world(tmp_path: Path) -> None:
    async with proxied(tmp_path, ScriptedEngine()) as (_, client):
        assert (await client.get("/metrics")).status_code == 404
        assert (await client.get("/livez")).status_code == 200
