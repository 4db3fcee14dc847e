"""Listens to the recordings of all requests, in threads of its own, piece by piece, fairly
(`app.workers.fair_scheduler`).

A recording of hours, or of nothing, does not hold up another one: after each piece (a minute, a quarter of a second of
work) it is decided anew whose turn it is. Knows nothing about codecs, HTTP or engines.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from app.concurrency import together
from app.core.audio.limits import SAMPLE_RATE
from app.core.audio.samples import Samples
from app.core.audio.vad_first_pass import look, pieces
from app.core.audio.vad_second_pass import Listening, conclude, look_again, sounds_left_out
from app.workers.fair_scheduler import NOBODY, Claim, Requester, Shares

T = TypeVar("T")

_MOST_THREADS = 4


class SpeechDetector:
    """Finds speech, in so many threads; as many as there are cores, up to four, if nothing is said. For one event loop
    at a time.
    """

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or min(_MOST_THREADS, os.cpu_count() or 1)
        self._executor: ThreadPoolExecutor | None = None
        self._shares = Shares()
        self._free = self.threads
        self._waiting: dict[Claim, list[asyncio.Future[None]]] = {}

    async def listen(self, samples: Samples, requester: Requester = NOBODY) -> Listening:
        """What is heard in mono 16 kHz `samples`. Cancelling ends the work with the pieces that are being looked at."""
        claim = self._shares.enter(requester, len(samples))
        try:
            looks = await self._each(claim, (partial(look, samples, start) for start in pieces(samples)))
            left_out = sounds_left_out(looks, len(samples) / SAMPLE_RATE)
            again = await self._each(claim, (partial(look_again, samples, one) for one in left_out))
            return conclude(looks, again)
        finally:
            self._shares.leave(claim)

    def close(self) -> None:
        """End the threads. Harmless twice."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)

    async def _each(self, claim: Claim, work: Iterable[Callable[[], T]]) -> list[T]:
        """The outcomes in order, of work that is done side by side while there are threads to spare."""
        todo, outcomes = enumerate(work), dict[int, T]()

        async def one_by_one() -> None:
            for number, piece in todo:
                outcomes[number] = await self._in_thread(claim, piece)

        await together(one_by_one() for _ in range(self.threads))
        return [outcomes[number] for number in sorted(outcomes)]

    async def _in_thread(self, claim: Claim, work: Callable[[], T]) -> T:
        await self._turn(claim)
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="speech")
        loop, began = asyncio.get_running_loop(), time.monotonic()
        running: Future[T] = self._executor.submit(work)

        def ended(_: Future[T]) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is gone
                loop.call_soon_threadsafe(self._give_back)

        running.add_done_callback(ended)  # not when the request goes away: the thread is busy until then
        try:
            return await asyncio.wrap_future(running)
        finally:
            self._shares.charge(claim, time.monotonic() - began)

    async def _turn(self, claim: Claim) -> None:
        """Take a thread, when one is free and it is this request's turn."""
        if self._free and not self._waiting:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(claim, []).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had been given the thread already
                self._give_back()
            else:
                self._forget(claim, turn)
            raise

    def _give_back(self) -> None:
        """Give a thread to whose turn it is."""
        self._free += 1
        while self._free and self._waiting:
            claim = min(self._waiting, key=self._shares.turn)
            turn = self._waiting[claim][0]
            self._forget(claim, turn)
            if not turn.done():
                self._free -= 1
                turn.set_result(None)

    def _forget(self, claim: Claim, turn: "asyncio.Future[None]") -> None:
        turns = self._waiting.get(claim, [])
        if turn in turns:
            turns.remove(turn)
            if not turns:
                del self._waiting[claim]
