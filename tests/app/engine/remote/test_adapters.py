"""Adapters on vLLM servers: requests for one go to the servers that list it."""

import asyncio
from typing import Any

import pytest

from app.core.errors import Unprocessable
from app.engine.base import Adapter
from tests.app.engine.remote.fake_vllm_server import WANTED, FakeVllmServer
from tests.app.engine.remote.remote_engine import PIECES, expect_error, generation_request, started_front

TERSE = Adapter("terse", 1)
BASE: dict[str, Any] = {"id": WANTED.id, "root": "/models/stand-in", "max_model_len": 8192}
CARD: dict[str, Any] = {"id": "terse", "root": "/adapters/terse", "parent": WANTED.id}


async def test_the_adapters_name_is_the_model_a_server_is_asked_for() -> None:
    async with started_front(FakeVllmServer(PIECES, served=[BASE, CARD])) as front:
        await front.engine.add_adapter(TERSE)
        assert await front.text(generation_request(adapter=TERSE)) == "".join(PIECES)
        await front.text()
        assert [body["model"] for body in front.behind[0].asked] == ["terse", WANTED.id]
        await front.engine.remove_adapter(TERSE)


async def test_only_servers_that_list_it_are_asked() -> None:
    without, holder = FakeVllmServer(PIECES), FakeVllmServer(PIECES, served=[BASE, CARD])
    async with started_front(without, holder) as front:
        await front.engine.add_adapter(TERSE)
        for _ in range(4):
            await front.text(generation_request(adapter=TERSE))
        assert (len(without.asked), len(holder.asked)) == (0, 4)
        await asyncio.to_thread(holder.die)
        error, _ = await expect_error(front, generation_request(adapter=TERSE))
        assert error.code == "engine_busy"
        assert await front.text() == "".join(PIECES), "without it the other one answers"


async def test_one_that_servers_loaded_after_the_start_is_found() -> None:
    async with started_front(server := FakeVllmServer(PIECES)) as front:
        with pytest.raises(Unprocessable, match="--lora-modules") as refusal:
            await front.engine.add_adapter(TERSE)
        assert refusal.value.code == "adapter_unusable"
        server.served = [BASE, CARD]
        await front.engine.add_adapter(TERSE)
        assert await front.text(generation_request(adapter=TERSE)) == "".join(PIECES)


async def test_one_that_a_server_no_longer_has_is_an_error_that_says_so() -> None:
    async with started_front(server := FakeVllmServer(PIECES, served=[BASE, CARD])) as front:
        await front.engine.add_adapter(TERSE)
        server.served = [BASE]
        error, _ = await expect_error(front, generation_request(adapter=TERSE))
        assert (error.status, error.code) == (503, "engine_error")
        assert "terse" in error.message
