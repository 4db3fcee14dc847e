"""The whole service in front of fake vLLM servers: answers, refusals, and servers that die and return."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import numpy as np
import pytest
import soundfile
from prometheus_client import REGISTRY

from app.engine.audio_llm import AudioLlmEngine
from tests.app.engine.remote.fake_vllm_server import WANTED, FakeVllmServer
from tests.app.engine.remote.remote_engine import FOREVER, PIECES, remote_model_of
from tests.app.running_service import PATH, Site, code, serving, until, value, wav


@asynccontextmanager
async def serving_with(*servers: FakeVllmServer, **sections: Any) -> AsyncIterator[Site]:
    """A service in front of these servers, which have forgotten its warm-up."""
    async with AsyncExitStack() as stack:
        for server in servers:
            stack.callback(server.die)
            await asyncio.to_thread(server.start)
        site = await stack.enter_async_context(serving(AudioLlmEngine(remote_model_of(servers)), **sections))
        for server in servers:
            server.asked.clear()
        yield site


async def test_a_recording_is_summarized() -> None:
    async with serving_with(FakeVllmServer(PIECES)) as site:
        answer = (await site.post(style="bullets")).json()
        assert answer["summary"] == "".join(PIECES)
        assert answer["finish_reason"] == "stop"
        assert answer["usage"]["completion_tokens"] == len(PIECES) + 1
        assert {"queue", "engine_prefill", "engine_decode"} <= set(answer["timings"])


async def test_samples_arrive_as_they_were_decoded() -> None:
    async with serving_with(server := FakeVllmServer(PIECES)) as site:
        await site.post(wav(2))
        (asked,) = server.asked
        (part,) = (part for part in asked["messages"][1]["content"] if part["type"] == "input_audio")
        heard, _ = soundfile.read(io.BytesIO(base64.b64decode(part["input_audio"]["data"])), dtype="float32")
        sent, _ = soundfile.read(io.BytesIO(wav(2)), dtype="float32")
        assert np.array_equal(heard, sent)


async def test_windows_of_a_long_recording_go_to_all_servers() -> None:
    one, other = (FakeVllmServer(PIECES, piece_s=0.02) for _ in range(2))
    async with serving_with(one, other) as site:
        answer = (await site.post(wav(150))).json()
        assert answer["complete"] is True
        assert len(answer["windows"]) > 1
        assert one.asked
        assert other.asked


@pytest.mark.parametrize("stream", ["false", "true"])
async def test_a_caller_who_leaves_frees_the_server(stream: str) -> None:
    async with serving_with(server := FakeVllmServer(FOREVER, piece_s=0.01)) as site:
        left = asyncio.create_task(site.post(stream=stream, max_tokens="4000"))
        await until(lambda: server.running == 1)
        left.cancel()
        await asyncio.wait({left})
        await until(lambda: server.running == 0, lambda: server.running, seconds=1)
        await site.until_idle()


async def test_an_error_in_the_middle_of_a_stream_is_the_streams_last_word() -> None:
    async with serving_with(server := FakeVllmServer(PIECES)) as site:
        server.error_after = (3, {"message": "EngineCore ran out of memory", "code": 500})
        lines = (await site.post(stream="true")).text.splitlines()
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        assert data[-1] == "[DONE]"
        error = json.loads(data[-2])["error"]
        assert error["code"] == "engine_error"
        assert "EngineCore ran out of memory" in error["message"]


async def test_a_server_without_room_is_a_503_that_says_when_to_come_back() -> None:
    async with serving_with(server := FakeVllmServer(PIECES)) as site:
        server.refusal = (503, {"error": {"message": "full"}}, {"retry-after": "11"})
        refused = await site.post()
        assert code(refused) == (503, "engine_busy")
        assert refused.headers["retry-after"] == "11"


async def test_errors_name_no_address() -> None:
    async with serving_with(server := FakeVllmServer(PIECES)) as site:
        server.breaks_after = 2
        lost = await site.post()
        assert code(lost) == (503, "engine_lost")
        await asyncio.to_thread(server.die)
        dead = await site.post()
        assert dead.status_code == 503
        assert server.name not in lost.text + dead.text


async def test_with_all_servers_dead_it_is_not_live_and_with_one_back_it_is_again() -> None:
    async with serving_with(server := FakeVllmServer(PIECES)) as site:
        assert (await site.client.get("/readyz")).status_code == 200
        await asyncio.to_thread(server.die)
        await until(lambda: value("speechsum_remote_up", server=server.name) == 0)
        for path in ("/livez", "/readyz"):
            assert code(await site.client.get(path)) == (503, "engine_dead")
        assert value("speechsum_ready") == 0
        await asyncio.to_thread(server.start)
        await until(lambda: value("speechsum_remote_up", server=server.name) == 1)
        assert (await site.client.get("/readyz")).status_code == 200
        assert value("speechsum_ready") == 1
        assert (await site.post()).json()["summary"] == "".join(PIECES)


async def test_each_servers_load_is_among_the_metrics() -> None:
    async with serving_with(server := FakeVllmServer(FOREVER, piece_s=0.01)) as site:
        asking = asyncio.create_task(site.client.post(PATH, files={"file": wav(3)}, data={"max_tokens": "4000"}))
        await until(lambda: server.running == 1)
        labels = {"model": WANTED.id, "server": server.name}
        # What runs first may be a probe of the server.
        await until(lambda: REGISTRY.get_sample_value("speechsum_remote_queued_audio_seconds", labels) == 3.0)
        shown = (await site.client.get("/metrics")).text
        assert f'speechsum_remote_up{{model="{WANTED.id}",server="{server.name}"}} 1.0' in shown
        assert f'speechsum_remote_queued_audio_seconds{{model="{WANTED.id}",server="{server.name}"}} 3.0' in shown
        asking.cancel()
        await asyncio.wait({asking})
        await site.until_idle()
