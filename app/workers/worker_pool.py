"""Starts and ends worker processes off the event loop, since both block, and keeps those that are idle.

This module knows nothing about what the workers do.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app.workers.fork_server import worker_context
from app.workers.worker_process import WorkerDied, WorkerProcess

START_TIMEOUT_S = 60.0


class WorkerPool:
    """A pool of worker processes, for one event loop at a time.

    Args:
        max_idle: Number of idle workers that are kept.
        tasks_per_worker: Number of tasks after which a worker is replaced.
        memory_bytes: Address space that a worker may take beyond what it starts with.

    Attributes:
        idle: Workers that wait for work, at most `max_idle`.
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
        """Start workers until `max_idle` are idle. Raises OSError or `WorkerDied` if one does not start."""
        while len(self.idle) < self._max_idle:
            self.idle.append(await self._start_worker())

    async def stop(self) -> None:
        """End the idle workers, and wait for everything that runs in the background. Calling it again does nothing."""
        while self.idle or self._tasks:  # a worker that is being started becomes idle later
            while self.idle:
                self.dismiss(self.idle.pop())
            await asyncio.wait(self._tasks)
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None

    async def acquire(self) -> WorkerProcess:
        """Return an idle worker, or start a new one. Raises OSError or `WorkerDied` if it does not start."""
        while self.idle:
            worker = self.idle.pop()
            if worker.is_alive:
                return worker
            self.dismiss(worker)
        return await self._start_worker()

    def release(self, worker: WorkerProcess) -> None:
        """Give a worker back that has finished its task."""
        if worker.tasks_started >= self._tasks_per_worker or len(self.idle) >= self._max_idle:
            self.dismiss(worker)
        else:
            self.idle.append(worker)

    def dismiss(self, worker: WorkerProcess) -> None:
        """End a worker at once, whatever it is doing."""
        worker.kill()
        self.run_in_background(self.join_worker(worker))

    async def join_worker(self, worker: WorkerProcess) -> int | None:
        """Wait until a worker that was killed, or that died, is gone, and return its exit code."""
        return await asyncio.get_running_loop().run_in_executor(self._executor(), worker.join)

    def run_in_background(self, work: Coroutine[Any, Any, object]) -> None:
        """Start a task that `stop` will wait for."""
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
