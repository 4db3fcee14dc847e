"""Work with callers' schemas off the event loop, in processes of their own that are ended if they take too long.

Threads would not do: what does not end cannot be ended in one, and it keeps the interpreter from everybody else. A
schema that was accepted is remembered, so that it is tried once. Knows nothing about HTTP or engines.
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
TASKS_PER_WORKER = 1000  # after so many a worker is replaced, so that what a library leaks stays small
MEMORY_BYTES = 512 << 20  # address space that a worker may take beyond what it starts with
MAX_ACCEPTED_SCHEMAS = 256  # schemas


class _WorkerFailed(Exception):
    """The work took too long, or its process died. The message goes on from "it"."""


class SchemaWorkers:
    """Tries schemas on the grammar compiler, and reads answers by them. Processes start with the first schema.

    seconds: wall-clock time that either may take once a process is at it.
    """

    def __init__(self, timeout_s: float = 5.0) -> None:
        self._timeout_s = timeout_s
        self._pool: pebble.ProcessPool | None = None
        self._accepted: OrderedDict[bytes, None] = OrderedDict()

    async def check_schema(self, schema: dict[str, Any], param: str) -> None:
        """Refuse a schema that the engine could not enforce. Cancelling ends the work.

        param: the field that it came in. Raises InvalidRequest (400), Unavailable (503).
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
        """As `app.summarize.structured.schema_tasks.parse_answer`. Work that is given up is a warning, never an
        exception: the answer's text is there all the same, and to try again would not end better.
        """
        try:
            value, fault = await self._run_in_worker(parse_answer, text, schema, own=own)
            return value, fault
        except (_WorkerFailed, Unavailable) as error:
            return None, f"The answer could not be checked against the schema ({error}): `structured` is null."

    async def stop(self) -> None:
        """End the processes, whatever they are at. Harmless twice."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            await asyncio.to_thread(pool.join)

    async def _run_in_worker(self, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Raises _GaveUp, Unavailable."""
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
            log.warning("a schema worker died: exit code %s", error.exitcode)
            raise _WorkerFailed("its process died of it") from error
        except concurrent.futures.BrokenExecutor as error:
            raise _restarting_error() from error
        except Exception as error:
            log.exception("a schema or an answer met a fault that was not foreseen")
            raise _WorkerFailed(f"it met a fault, {type(error).__name__}") from error

    def _ensure_pool(self) -> pebble.ProcessPool:
        if self._pool is None or not self._pool.active:
            # From the fork server that the audio decoder uses too: no engine is in it, and a worker is up in a moment.
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
