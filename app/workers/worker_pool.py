"""The worker processes that have nothing to do, and the start and the end of all: off the event loop, since both block.

Knows nothing about what they work on.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app.workers.fork_server import worker_context
from app.workers.worker_process import Worker, WorkerDied

START_S = 60.0


class Workers:
    """idle: workers that wait for work, at most `kept`. pieces_per_worker: after so many a worker is not used again.
    memory_bytes: as for `Worker`. For one event loop at a time.
    """

    def __init__(self, kept: int, pieces_per_worker: int, memory_bytes: int) -> None:
        self.idle: list[Worker] = []
        self._kept = kept
        self._pieces_per_worker = pieces_per_worker
        self._memory_bytes = memory_bytes
        self._context = worker_context()
        self._threads: ThreadPoolExecutor | None = None
        self._tasks: set[asyncio.Task[object]] = set()

    async def start(self) -> None:
        """Have as many as are kept. Raises OSError, `WorkerDied`."""
        while len(self.idle) < self._kept:
            self.idle.append(await self._new())

    async def stop(self) -> None:
        """End those that are idle, and wait for all that `run` and `dismiss` began. Harmless twice."""
        while self.idle or self._tasks:  # one that is being started becomes idle
            while self.idle:
                self.dismiss(self.idle.pop())
            await asyncio.wait(self._tasks)
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None

    async def take(self) -> Worker:
        """An idle worker, or a new one. Raises OSError, `WorkerDied`."""
        while self.idle:
            worker = self.idle.pop()
            if worker.alive:
                return worker
            self.dismiss(worker)
        return await self._new()

    def put_back(self, worker: Worker) -> None:
        """The worker has nothing to do."""
        if worker.done >= self._pieces_per_worker or len(self.idle) >= self._kept:
            self.dismiss(worker)
        else:
            self.idle.append(worker)

    def dismiss(self, worker: Worker) -> None:
        """End a worker at once, whatever it is at."""
        worker.kill()
        self.run(self.end(worker))

    async def end(self, worker: Worker) -> int | None:
        """End a worker, or bury one that died; its exit code."""
        return await asyncio.get_running_loop().run_in_executor(self._executor(), worker.bury)

    def run(self, work: Coroutine[Any, Any, object]) -> None:
        """Have something done that `stop` waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _new(self) -> Worker:
        def start() -> Worker:
            worker = Worker(self._context, self._memory_bytes)
            try:
                worker.ready(START_S)
            except WorkerDied:
                worker.kill()
                worker.bury()
                raise
            return worker

        return await asyncio.get_running_loop().run_in_executor(self._executor(), start)

    def _executor(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(2, thread_name_prefix="decoder")
        return self._threads
