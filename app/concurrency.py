"""Helpers for asyncio tasks: run several until all are done or one fails, share a result, and cancel tasks that run."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


async def run_all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines at the same time and return their results in order.

    If one raises an exception, the others are cancelled and awaited, and then that exception is raised as it is.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


class SharedResult(Generic[T]):
    """A result that several tasks need: one task computes it, and the others wait for it.

    known: the result, if it is there before the first task asks.
    """

    def __init__(self, known: T | None = None) -> None:
        self._lock = asyncio.Lock()
        self._results: list[T] = [] if known is None else [known]

    @property
    def value(self) -> T | None:
        """The result, or None as long as no task has computed it."""
        return self._results[0] if self._results else None

    async def get(self, compute: Callable[[], Awaitable[T]]) -> T:
        """Return the result. If the task that computes it fails or is cancelled, the next one computes it."""
        async with self._lock:
            if not self._results:
                self._results.append(await compute())
            return self._results[0]


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks and wait until each has cleaned up. Needs at least one task."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
