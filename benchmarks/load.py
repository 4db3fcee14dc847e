"""Sends requests in the two ways that load is measured: clients that wait for their answer, and arrivals that do not.

Clients that each send the next request when the last is answered (a closed loop) find out how much can be done in a
second. They say nothing about waiting, because a slow server is asked less often. So times are measured with requests
that arrive at random moments at a given rate (an open loop, Poisson), and count from the moment of arrival. Knows
nothing about what is asked.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        first_token_s: Seconds from the request to the first piece of text.
        total_s: Seconds from the request to the end of the answer.
        prompt_tokens: Tokens of the prompt, as the server counted them.
        completion_tokens: Tokens of the answer.
        timings: Seconds by stage, where the server tells them.
    """

    first_token_s: float
    total_s: float
    prompt_tokens: int
    completion_tokens: int
    timings: Mapping[str, float] = field(default_factory=dict)


Send = Callable[[bytes], Coroutine[Any, Any, Answer]]


async def run_closed_loop(
    send: Send, recordings: Iterator[bytes], count: int, clients: int
) -> tuple[list[Answer], float]:
    """Send `count` requests by so many clients, one after the other each; return the answers and all the seconds."""
    answers: list[Answer] = []
    left = iter([next(recordings) for _ in range(count)])

    async def work() -> None:
        for recording in left:
            answers.append(await send(recording))

    started_at = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(work())
    return answers, time.perf_counter() - started_at


async def run_open_loop(
    send: Send, recordings: Iterator[bytes], count: int, per_second: float, seed: int
) -> list[Answer]:
    """Send `count` requests at random moments, on average so many a second, whether or not the last is answered.

    seed: the same seed gives the same moments, so that what is compared has the same luck.
    """
    moments = arrival_moments(count, per_second, seed)
    to_send = [next(recordings) for _ in moments]
    sent: list[asyncio.Task[Answer]] = []
    started_at = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for moment, recording in zip(moments, to_send, strict=True):
            await asyncio.sleep(max(0.0, started_at + moment - time.perf_counter()))
            sent.append(tasks.create_task(send(recording)))
    return [task.result() for task in sent]


def arrival_moments(count: int, per_second: float, seed: int) -> list[float]:
    """Return the seconds at which `count` requests of a Poisson process arrive, from 0 on."""
    draw = random.Random(seed)
    moments, now = [], 0.0
    for _ in range(count):
        moments.append(now)
        now += draw.expovariate(per_second)
    return moments
