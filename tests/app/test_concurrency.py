"""A result that several tasks need is computed once."""

import asyncio

import pytest

from app.concurrency import SharedResult


async def test_one_computes_and_the_others_wait() -> None:
    shared: SharedResult[int] = SharedResult()
    calls: list[int] = []
    may_end = asyncio.Event()

    async def compute() -> int:
        calls.append(1)
        await may_end.wait()
        return 7

    tasks = [asyncio.create_task(shared.get(compute)) for _ in range(3)]
    await asyncio.sleep(0)
    may_end.set()
    assert await asyncio.gather(*tasks) == [7, 7, 7]
    assert len(calls) == 1


async def test_if_the_one_that_computes_leaves_or_fails_the_next_one_computes() -> None:
    shared: SharedResult[int] = SharedResult()
    began = asyncio.Event()

    async def never_end() -> int:
        began.set()
        await asyncio.Event().wait()
        return 0

    async def fail() -> int:
        raise ValueError("no")

    async def succeed() -> int:
        return 7

    first = asyncio.create_task(shared.get(never_end))
    await began.wait()
    second = asyncio.create_task(shared.get(fail))
    first.cancel()
    with pytest.raises(ValueError, match="no"):
        await second
    assert await shared.get(succeed) == 7
