"""Finds speech in the recordings of all requests, piece by piece, in its own threads and in fair order.

The scheduler (`app.workers.fair_scheduler`) decides after each piece whose turn it is. A piece is a minute of audio and
takes about a twentieth of a second, so a recording of hours does not hold up another one. This module knows nothing
about codecs, HTTP or engines.
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
    """Finds speech in recordings, for one event loop at a time.

    Args:
        threads: Number of threads. 0 takes as many as there are cores, at most four.
    """

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or min(_MAX_THREADS, os.cpu_count() or 1)
        self._executor: ThreadPoolExecutor | None = None
        self._scheduler = FairScheduler()
        self._free_threads = self.threads
        self._waiters: dict[SchedulerEntry, list[asyncio.Future[None]]] = {}

    async def detect(self, samples: Samples, requester: Requester = ANONYMOUS) -> SpeechDetection:
        """Return the speech in mono 16 kHz `samples`. If cancelled, the work ends after the pieces that are running."""
        entry = self._scheduler.add(requester, len(samples))
        try:
            first_pass = await self._run_all(
                entry, (partial(detect_piece, samples, start) for start in piece_starts(samples))
            )
            undetected = undetected_sounds(first_pass, len(samples) / SAMPLE_RATE)
            second_pass = await self._run_all(entry, (partial(detect_amplified, samples, one) for one in undetected))
            return combine_passes(first_pass, second_pass)
        finally:
            self._scheduler.remove(entry)

    def close(self) -> None:
        """End the threads. Calling it again does nothing."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)

    async def _run_all(self, entry: SchedulerEntry, work: Iterable[Callable[[], T]]) -> list[T]:
        """Run all pieces of work, several at once where threads are free, and return their results in order."""
        pieces, outcomes = enumerate(work), dict[int, T]()

        async def one_by_one() -> None:
            for number, piece in pieces:
                outcomes[number] = await self._run_in_thread(entry, piece)

        await run_all(one_by_one() for _ in range(self.threads))
        return [outcomes[number] for number in sorted(outcomes)]

    async def _run_in_thread(self, entry: SchedulerEntry, work: Callable[[], T]) -> T:
        await self._acquire_thread(entry)
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="speech")
        loop, started_at = asyncio.get_running_loop(), time.monotonic()
        running: Future[T] = self._executor.submit(work)

        def on_done(_: Future[T]) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                loop.call_soon_threadsafe(self._release_thread)

        running.add_done_callback(on_done)  # not on cancellation: the thread is busy until the work is done
        try:
            return await asyncio.wrap_future(running)
        finally:
            self._scheduler.charge(entry, time.monotonic() - started_at)

    async def _acquire_thread(self, entry: SchedulerEntry) -> None:
        """Take a thread as soon as one is free and it is this request's turn."""
        if self._free_threads and not self._waiters:
            self._free_threads -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(entry, []).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had already got the thread
                self._release_thread()
            else:
                self._remove_waiter(entry, turn)
            raise

    def _release_thread(self) -> None:
        """Give a thread back, and pass it to the request whose turn it is."""
        self._free_threads += 1
        while self._free_threads and self._waiters:
            entry = min(self._waiters, key=self._scheduler.sort_key)
            turn = self._waiters[entry][0]
            self._remove_waiter(entry, turn)
            if not turn.done():
                self._free_threads -= 1
                turn.set_result(None)

    def _remove_waiter(self, entry: SchedulerEntry, turn: "asyncio.Future[None]") -> None:
        turns = self._waiters.get(entry, [])
        if turn in turns:
            turns.remove(turn)
            if not turns:
                del self._waiters[entry]
