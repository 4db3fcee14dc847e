"""The worker processes that have nothing to do, and the start and the end of all: off the event loop, since both block.

Knows nothing about what they work on.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app.workers.fork_server import worker_context
from app.workers.worker_process import WorkerDied, WorkerProcess

START_TIMEOUT_S = 60.0


class WorkerPool:
    """idle: workers that wait for work, at most `kept`. pieces_per_worker: after so many a worker is not used again.
    memory_bytes: as for `Worker`. For one event loop at a time.
    """

    def __init__(self, max_idle: int, tasks_per_worker: int, memory_bytes: int) -> None:
        self.idle: list[WorkerProcess] = []
        self._max_idle = max_idle
        self._tasks_per_worker = tasks_per_worker
        self._memory_bytes = memory_bytes
        self._context = worker_context()
        self._threads: ThreadPoolExecutor | None = None
        self._tasks: set[asyncio.Task[object]] = set()

    async def start(self) -> None:
        """Have as many as are kept. Raises OSError, `WorkerDied`."""
        while len(self.idle) < self._max_idle:
            self.idle.append(await self._start_worker())

    async def stop(self) -> None:
        """End those that are idle, and wait for all that `run` and `dismiss` began. Harmless twice."""
        while self.idle or self._tasks:  # one that is being started becomes idle
            while self.idle:
                self.dismiss(self.idle.pop())
            await asyncio.wait(self._tasks)
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None

    async def acquire(self) -> WorkerProcess:
        """An idle worker, or a new one. Raises OSError, `WorkerDied`."""
        while self.idle:
            worker = self.idle.pop()
            if worker.is_alive:
                return worker
            self.dismiss(worker)
        return await self._start_worker()

    def release(self, worker: WorkerProcess) -> None:
        """The worker has nothing to do."""
        if worker.tasks_started >= self._tasks_per_worker or len(self.idle) >= self._max_idle:
            self.dismiss(worker)
        else:
            self.idle.append(worker)

    def dismiss(self, worker: WorkerProcess) -> None:
        """End a worker at once, whatever it is at."""
        worker.kill()
        self.run_in_background(self.join_worker(worker))

    async def join_worker(self, worker: WorkerProcess) -> int | None:
        """End a worker, or bury one that died; its exit code."""
        return await asyncio.get_running_loop().run_in_executor(self._executor(), worker.join)

    def run_in_background(self, work: Coroutine[Any, Any, object]) -> None:
        """Have something done that `stop` waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start_worker(self) -> WorkerProcess:
        def start() -> WorkerProcess:
            worker = WorkerProcess(self._context, self._memory_bytes)
            try:
                worker.wait_until_ready(START_TIMEOUT_S)
            except WorkerDied:
                worker.kill()
                worker.join()
                raise
            return worker

        return await asyncio.get_running_loop().run_in_executor(self._executor(), start)

    def _executor(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(2, thread_name_prefix="decoder")
        return self._threads
