"""Which vLLM servers are accepted, and what a start without any of them reports."""

import asyncio
from typing import Any

import pytest
from prometheus_client import generate_latest

from app.core.errors import Unavailable
from app.engine.remote.server import ExpectedModel
from app.engine.remote.server_pool import RemoteChatModel
from app.settings import RemoteSettings
from model_repo.architectures import CHAT_TEMPLATE
from tests.app.engine.remote.fake_vllm_server import CONTEXT, WANTED, FakeVllmServer, chat_tokenizer
from tests.app.engine.remote.remote_engine import HEALTH_S, PIECES, expect_error, remote_model_of, started_front
from tests.app.running_service import until


async def test_it_waits_for_the_first_server_only() -> None:
    late = FakeVllmServer(PIECES)
    async with started_front(FakeVllmServer(PIECES), asleep=[late]) as front:
        assert front.up() == [True, False]
        assert front.gauges("up") == [1, 0]
        await asyncio.to_thread(late.start)
        await until(lambda: front.up() == [True, True], front.up)


async def test_servers_may_come_after_the_service() -> None:
    server = FakeVllmServer(PIECES)
    core = remote_model_of([server])
    starting = asyncio.create_task(core.start())
    await asyncio.sleep(HEALTH_S * 3)
    assert not starting.done()
    await asyncio.to_thread(server.start)
    await asyncio.wait_for(starting, 20)
    await core.check_health()
    await core.stop()
    server.die()


async def test_without_any_server_the_start_fails_and_says_what_is_wrong_with_each() -> None:
    one, other = FakeVllmServer(PIECES), FakeVllmServer(PIECES, health=503).start()
    core = remote_model_of([one, other], start_seconds=1)
    with pytest.raises(Unavailable, match="SPEECHSUM_REMOTE__START_SECONDS") as failure:
        await core.start()
    assert failure.value.code == "engine_failed"
    assert f"{one.name}: no connection" in failure.value.message
    assert f"{other.name}: /health answered with status 503" in failure.value.message
    other.die()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            {"served": [{"id": "other@1"}, {"id": "third"}]},
            "serves other@1, third, not stand-in@1.*--served-model-name",
        ),
        ({"served": []}, "serves nothing, not stand-in@1"),
        ({"served": [{"id": WANTED.id, "max_model_len": 2048}]}, "room for 2048 tokens.*--max-model-len 8192"),
        ({"template": CHAT_TEMPLATE.replace("assistant", "model")}, "other tokens of a prompt"),
        ({"key": "wanted"}, "does not accept the key in SPEECHSUM_REMOTE__API_KEY"),
        ({"served": "nonsense"}, "does not answer as vLLM does"),
    ],
    ids=["another model", "no model", "too little room", "another template", "a key", "no vLLM"],
)
async def test_servers_that_serve_something_else_fail_the_start_at_once(how: dict[str, Any], said: str) -> None:
    server = FakeVllmServer(PIECES, **how).start()
    core = remote_model_of([server], start_seconds=60)
    with pytest.raises(Unavailable, match=said) as failure:
        await asyncio.wait_for(core.start(), 20)
    assert failure.value.code == "engine_failed"
    server.die()


async def test_one_that_serves_something_else_is_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    wrong = FakeVllmServer(PIECES, served=[{"id": "other@1"}])
    async with started_front(wrong, FakeVllmServer(PIECES)) as front:
        assert front.up() == [False, True]
        await front.read()
        assert wrong.asked == []
        assert f"{wrong.name} gets no requests: it serves other@1" in caplog.text
        said = caplog.text.count("it serves other@1")
        await asyncio.sleep(HEALTH_S * 4)
        assert caplog.text.count("it serves other@1") == said, "once is enough"


async def test_one_that_comes_back_with_another_model_is_left_out() -> None:
    server = FakeVllmServer(PIECES)
    async with started_front(server, FakeVllmServer(PIECES)) as front:
        await asyncio.to_thread(server.die)
        await until(lambda: front.up() == [False, True], front.up)
        server.served = [{"id": "other@1"}]
        await asyncio.to_thread(server.start)
        await until(lambda: front.model.servers[0].unusable)
        assert front.up() == [False, True]


@pytest.mark.parametrize(
    "card",
    [
        {"id": "/cache/checkpoints/stand-in/1"},
        {"id": "/cache/checkpoints/stand-in/1/", "max_model_len": 9000},
        {"id": "anything", "root": "/cache/checkpoints/stand-in/1"},
    ],
)
async def test_the_model_is_known_by_its_folder_too(card: dict[str, Any]) -> None:
    async with started_front(FakeVllmServer(PIECES, served=[{"id": "first"}, card])) as front:
        assert await front.text() == "".join(PIECES)
        assert front.behind[0].asked[0]["model"] == card["id"]


async def test_another_version_is_another_model() -> None:
    server = FakeVllmServer(PIECES).start()
    wanted = ExpectedModel(WANTED.name, "2", CONTEXT)
    core = RemoteChatModel(wanted, chat_tokenizer(), RemoteSettings(urls=[server.url]))
    with pytest.raises(Unavailable, match="serves stand-in@1, not stand-in@2"):
        await core.start()
    server.die()


async def test_a_gateway_without_tokenize_is_taken_at_its_word(caplog: pytest.LogCaptureFixture) -> None:
    async with started_front(FakeVllmServer(PIECES, no_tokenize=True)) as front:
        assert await front.text() == "".join(PIECES)
        assert "has no /tokenize" in caplog.text


async def test_once_stopped_nothing_is_left_of_it() -> None:
    async with started_front(FakeVllmServer(PIECES)) as front:
        (server,) = front.behind
        await front.engine.stop()
        await front.engine.stop()
        error, _ = await expect_error(front)
        assert error.code == "engine_not_ready"
        assert f'server="{server.name}"' not in generate_latest().decode()
