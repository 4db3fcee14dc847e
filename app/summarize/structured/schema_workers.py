"""Runs the work with callers' schemas in worker processes, which are ended if they take too long.

Threads would not do: a thread cannot be ended, and it would hold the interpreter's lock while other requests wait. A
schema that was accepted is remembered, so that it is compiled only once. Knows nothing about HTTP or engines.
"""

import asyncio
import concurrent.futures
import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pebble

from app.core.errors import InvalidRequest, Unavailable
from app.settings import setting_name
from app.summarize.structured.schema_tasks import enforcement_error, limit_process_memory, parse_answer
from app.workers.fork_server import worker_context

log = logging.getLogger(__name__)

WORKER_COUNT = 2
TASKS_PER_WORKER = 1000  # after so many tasks a worker is replaced, which bounds the leaks of a library
MEMORY_BYTES = 512 << 20  # address space that a worker may use beyond what it starts with
MAX_ACCEPTED_SCHEMAS = 256  # number of accepted schemas that are remembered


class _WorkerFailed(Exception):
    """The task took too long, or its process died. The message says which."""


class SchemaWorkers:
    """Compiles schemas, and parses answers with them. The processes start with the first schema.

    timeout_s: wall-clock seconds that a task may take once a process works on it.
    """

    def __init__(self, timeout_s: float = 5.0) -> None:
        self._timeout_s = timeout_s
        self._pool: pebble.ProcessPool | None = None
        self._accepted: OrderedDict[bytes, None] = OrderedDict()

    async def check_schema(self, schema: dict[str, Any], param: str) -> None:
        """Check that the engine can enforce a schema. Cancelling the coroutine ends the task.

        param: the field of the request that it came in.

        Raises:
            InvalidRequest: The engine cannot enforce it (400).
            Unavailable: The workers are restarting (503).
        """
        digest = sha256(json.dumps(schema).encode()).digest()
        if digest in self._accepted:
            self._accepted.move_to_end(digest)
            return
        try:
            fault = await self._run_in_worker(enforcement_error, schema)
        except _WorkerFailed as error:
            fault = f"cannot be compiled: {error}"
        if fault:
            raise InvalidRequest(f"{param}: the schema {fault}.", code="invalid_json_schema", param=param)
        self._accepted[digest] = None
        while len(self._accepted) > MAX_ACCEPTED_SCHEMAS:
            self._accepted.popitem(last=False)

    async def parse_answer(self, text: str, schema: dict[str, Any], *, own: bool = False) -> tuple[Any, str | None]:
        """Parse an answer, as `app.summarize.structured.schema_tasks.parse_answer` does.

        A task that fails becomes a warning and not an exception, because the caller still gets the answer's text, and
        another try would fail too.
        """
        try:
            value, fault = await self._run_in_worker(parse_answer, text, schema, own=own)
            return value, fault
        except (_WorkerFailed, Unavailable) as error:
            return None, f"The answer could not be checked against the schema ({error}): `structured` is null."

    async def stop(self) -> None:
        """End the processes at once. Calling it twice does no harm."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            await asyncio.to_thread(pool.join)

    async def _run_in_worker(self, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Return the result of a task. Raises _WorkerFailed or Unavailable."""
        try:
            future = self._ensure_pool().schedule(work, args=arguments, kwargs=options, timeout=self._timeout_s)
        except RuntimeError as error:  # the pool is stopping
            raise _restarting_error() from error
        try:
            return await asyncio.wrap_future(future)
        except (TimeoutError, concurrent.futures.TimeoutError) as error:
            setting = setting_name("limits", "schema_seconds")
            raise _WorkerFailed(f"it took longer than {self._timeout_s:g} s; the setting is {setting}") from error
        except pebble.ProcessExpired as error:
            log.warning("A schema worker died with exit code %s.", error.exitcode)
            raise _WorkerFailed("its process died of it") from error
        except concurrent.futures.BrokenExecutor as error:
            raise _restarting_error() from error
        except Exception as error:
            log.exception("A schema worker raised an unexpected exception.")
            raise _WorkerFailed(f"it met a fault, {type(error).__name__}") from error

    def _ensure_pool(self) -> pebble.ProcessPool:
        if self._pool is None or not self._pool.active:
            # The workers are forked from the audio decoder's fork server, which is fast and holds no engine.
            self._pool = pebble.ProcessPool(
                max_workers=WORKER_COUNT,
                max_tasks=TASKS_PER_WORKER,
                initializer=limit_process_memory,
                initargs=(MEMORY_BYTES,),
                context=worker_context(),
            )
        return self._pool


def _restarting_error() -> Unavailable:
    return Unavailable(
        "The schema workers are restarting. Try again.", code="schema_workers_unavailable", retry_after_s=1
    )
