"""vLLM servers that cannot be reached, break, stop sending, refuse, or come back."""

import asyncio

import pytest

from app.core.errors import EngineDead, TooLarge, Unavailable, Unprocessable
from app.engine.base import StageStarted, TextDelta
from tests.app.engine.remote.fake_vllm_server import CONTEXT, FakeVllmServer
from tests.app.engine.remote.remote_engine import FOREVER, PIECES, expect_error, generation_request, started_front
from tests.app.running_service import until


async def test_where_no_connection_comes_about_another_server_is_asked() -> None:
    one, other = FakeVllmServer(PIECES), FakeVllmServer(PIECES)
    async with started_front(one, other, health_seconds=60) as front:
        one.die()  # and no look has found that out
        assert front.up() == [True, True]
        assert await front.text() == "".join(PIECES)
        assert (len(one.asked), len(other.asked)) == (0, 1)
        assert front.up() == [False, True]
        assert front.gauges("up") == [0, 1]
        await front.read(generation_request(name="two"))
        assert len(other.asked) == 2


async def test_once_a_server_has_the_request_no_other_is_asked() -> None:
    one, other = FakeVllmServer(PIECES, breaks_after=0), FakeVllmServer(PIECES)
    async with started_front(one, other) as front:
        error, seen = await expect_error(front)
        assert error.code == "engine_lost"
        assert seen == [StageStarted("prefill"), StageStarted("decode")]
        assert (len(one.asked), len(other.asked)) == (1, 0)


async def test_a_server_that_read_the_request_and_said_nothing_has_it_all_the_same() -> None:
    one, other = FakeVllmServer(PIECES, slams=True), FakeVllmServer(PIECES)
    async with started_front(one, other) as front:
        error, _ = await expect_error(front)
        assert error.code == "engine_lost"
        assert (len(one.asked), len(other.asked)) == (1, 0)


async def test_a_connection_that_breaks_in_the_middle_is_told() -> None:
    async with started_front(FakeVllmServer(PIECES, breaks_after=3), FakeVllmServer(PIECES)) as front:
        error, seen = await expect_error(front)
        assert isinstance(error, Unavailable)
        assert (error.code, error.retry_after_s) == ("engine_lost", 1)
        assert [event.text for event in seen if isinstance(event, TextDelta)] == PIECES[:3]
        assert front.gauges("queued_audio_seconds") == [0, 0]


async def test_a_server_that_dies_takes_its_answers_with_it_and_is_left_out() -> None:
    one, other = FakeVllmServer(FOREVER, piece_s=0.01), FakeVllmServer(PIECES)
    async with started_front(one, other) as front:
        dying = asyncio.create_task(expect_error(front, generation_request(max_tokens=4000)))
        await until(lambda: one.running == 1)
        await asyncio.to_thread(one.die)
        error, _ = await asyncio.wait_for(dying, 20)
        assert error.code == "engine_lost"
        await until(lambda: front.up() == [False, True], front.up)
        assert await front.text(generation_request(name="after it")) == "".join(PIECES)
        await front.engine.check_health()


async def test_a_dead_server_is_asked_again_once_it_is_back() -> None:
    one = FakeVllmServer(PIECES)
    async with started_front(one, FakeVllmServer(PIECES)) as front:
        await asyncio.to_thread(one.die)
        await until(lambda: front.up() == [False, True], front.up)
        await asyncio.to_thread(one.start)
        await until(lambda: front.up() == [True, True], front.up)
        assert front.gauges("up") == [1, 1]
        await front.read()
        assert len(one.asked) == 1


async def test_with_every_server_dead_the_engine_is_until_one_is_back() -> None:
    one, other = FakeVllmServer(PIECES), FakeVllmServer(PIECES)
    async with started_front(one, other) as front:
        for server in (one, other):
            await asyncio.to_thread(server.die)
        await until(lambda: front.up() == [False, False], front.up)
        with pytest.raises(EngineDead):
            await front.engine.check_health()
        error, _ = await expect_error(front)
        assert isinstance(error, EngineDead)
        await asyncio.to_thread(other.start)
        await until(lambda: front.up() == [False, True], front.up)
        await front.engine.check_health()
        assert await front.text() == "".join(PIECES)


async def test_that_all_are_dead_shows_without_a_look_too() -> None:
    async with started_front(FakeVllmServer(PIECES), FakeVllmServer(PIECES), health_seconds=60) as front:
        for server in front.behind:
            server.die()
        error, seen = await expect_error(front)
        assert isinstance(error, EngineDead)
        assert seen == [StageStarted("prefill")]
        assert front.up() == [False, False]


async def test_a_server_that_says_it_is_ill_is_left_out() -> None:
    one = FakeVllmServer(PIECES)
    async with started_front(one, FakeVllmServer(PIECES)) as front:
        one.health = 503
        await until(lambda: front.up() == [False, True], front.up)
        await front.read()
        assert one.asked == []
        one.health = 200
        await until(lambda: front.up() == [True, True], front.up)


async def test_a_server_that_does_not_say_how_it_is_is_left_out() -> None:
    one = FakeVllmServer(PIECES)
    async with started_front(one, FakeVllmServer(PIECES), health_timeout_seconds=0.5) as front:
        one.health_s = 60.0
        await until(lambda: not front.up()[0], front.up)


async def test_a_server_that_writes_is_alive_however_late_its_health_comes() -> None:
    one = FakeVllmServer(FOREVER, piece_s=0.01)
    async with started_front(one, health_timeout_seconds=0.5) as front:
        writing = asyncio.create_task(front.read(generation_request(max_tokens=4000)))
        await until(lambda: one.running == 1)
        one.health_s = 60.0
        await asyncio.sleep(2)
        assert front.up() == [True]
        writing.cancel()
        await asyncio.wait({writing})
        await until(lambda: front.up() == [False], front.up)


async def test_silence_in_the_middle_ends_the_request() -> None:
    async with started_front(FakeVllmServer(PIECES, prefill_s=30), idle_seconds=0.3) as front:
        error, _ = await expect_error(front)
        assert (error.code, error.status) == ("engine_silent", 503)
        await until(lambda: front.behind[0].running == 0, seconds=1)


# --- what servers say


@pytest.mark.parametrize("status", [503, 429])
async def test_a_server_without_room_is_passed_on_and_not_worked_around(status: int) -> None:
    one = FakeVllmServer(PIECES, refusal=(status, {"error": {"message": "full"}}, {"retry-after": "11"}))
    other = FakeVllmServer(PIECES)
    async with started_front(one, other) as front:
        error, _ = await expect_error(front)
        assert isinstance(error, Unavailable)
        assert (error.code, error.status, error.retry_after_s) == ("engine_busy", 503, 11)
        assert other.asked == []
        assert front.up() == [True, True]


async def test_what_does_not_fit_is_refused_with_the_limit() -> None:
    async with started_front(FakeVllmServer(PIECES)) as front:
        error, _ = await expect_error(front, generation_request(seconds=400))
        assert isinstance(error, TooLarge)
        assert str(CONTEXT) in error.message


async def test_what_the_server_refuses_is_the_callers_to_hear() -> None:
    async with started_front(
        FakeVllmServer(PIECES, refusal=(400, {"error": {"message": "no such grammar"}}, {}))
    ) as front:
        error, _ = await expect_error(front)
        assert isinstance(error, Unprocessable)
        assert "no such grammar" in error.message


@pytest.mark.parametrize("pieces", [0, 3])
async def test_an_error_in_the_middle_is_told_with_its_reason(pieces: int) -> None:
    error = {"message": "EngineCore ran out of memory", "type": "InternalServerError", "code": 500}
    async with started_front(FakeVllmServer(PIECES, error_after=(pieces, error))) as front:
        told, seen = await expect_error(front)
        assert (type(told), told.code) == (Unavailable, "engine_error")
        assert "EngineCore ran out of memory" in told.message
        assert len([event for event in seen if isinstance(event, TextDelta)]) == pieces
