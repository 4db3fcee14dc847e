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

from app.concurrency import run_all
from app.core.audio.limits import SAMPLE_RATE
from app.core.audio.samples import Samples
from app.core.audio.vad_first_pass import detect_piece, piece_starts
from app.core.audio.vad_second_pass import SpeechDetection, combine_passes, detect_amplified, undetected_sounds
from app.workers.fair_scheduler import ANONYMOUS, FairScheduler, Requester, SchedulerEntry

T = TypeVar("T")

_MAX_THREADS = 4


class SpeechDetector:
    """Finds speech, in so many threads; as many as there are cores, up to four, if nothing is said. For one event loop
    at a time.
    """

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or min(_MAX_THREADS, os.cpu_count() or 1)
        self._executor: ThreadPoolExecutor | None = None
        self._scheduler = FairScheduler()
        self._free_threads = self.threads
        self._waiters: dict[SchedulerEntry, list[asyncio.Future[None]]] = {}

    async def detect(self, samples: Samples, requester: Requester = ANONYMOUS) -> SpeechDetection:
        """What is heard in mono 16 kHz `samples`. Cancelling ends the work with the pieces that are being looked at."""
        claim = self._scheduler.add(requester, len(samples))
        try:
            looks = await self._run_all(
                claim, (partial(detect_piece, samples, start) for start in piece_starts(samples))
            )
            left_out = undetected_sounds(looks, len(samples) / SAMPLE_RATE)
            again = await self._run_all(claim, (partial(detect_amplified, samples, one) for one in left_out))
            return combine_passes(looks, again)
        finally:
            self._scheduler.remove(claim)

    def close(self) -> None:
        """End the threads. Harmless twice."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)

    async def _run_all(self, claim: SchedulerEntry, work: Iterable[Callable[[], T]]) -> list[T]:
        """The outcomes in order, of work that is done side by side while there are threads to spare."""
        todo, outcomes = enumerate(work), dict[int, T]()

        async def one_by_one() -> None:
            for number, piece in todo:
                outcomes[number] = await self._run_in_thread(claim, piece)

        await run_all(one_by_one() for _ in range(self.threads))
        return [outcomes[number] for number in sorted(outcomes)]

    async def _run_in_thread(self, claim: SchedulerEntry, work: Callable[[], T]) -> T:
        await self._acquire_thread(claim)
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="speech")
        loop, began = asyncio.get_running_loop(), time.monotonic()
        running: Future[T] = self._executor.submit(work)

        def on_done(_: Future[T]) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is gone
                loop.call_soon_threadsafe(self._release_thread)

        running.add_done_callback(on_done)  # not when the request goes away: the thread is busy until then
        try:
            return await asyncio.wrap_future(running)
        finally:
            self._scheduler.charge(claim, time.monotonic() - began)

    async def _acquire_thread(self, claim: SchedulerEntry) -> None:
        """Take a thread, when one is free and it is this request's turn."""
        if self._free_threads and not self._waiters:
            self._free_threads -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(claim, []).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had been given the thread already
                self._release_thread()
            else:
                self._remove_waiter(claim, turn)
            raise

    def _release_thread(self) -> None:
        """Give a thread to whose turn it is."""
        self._free_threads += 1
        while self._free_threads and self._waiters:
            claim = min(self._waiters, key=self._scheduler.sort_key)
            turn = self._waiters[claim][0]
            self._remove_waiter(claim, turn)
            if not turn.done():
                self._free_threads -= 1
                turn.set_result(None)

    def _remove_waiter(self, claim: SchedulerEntry, turn: "asyncio.Future[None]") -> None:
        turns = self._waiters.get(claim, [])
        if turn in turns:
            turns.remove(turn)
            if not turns:
                del self._waiters[claim]
