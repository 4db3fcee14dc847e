"""The worker of a batch: a class for `map_batches` of Ray Data that holds a model and makes the rows of recordings.

Ray keeps one in each of its actors. Several calls may run at the same time, in threads; their recordings share the
event loop of one more thread, and so the engine's batch. If the engine dies, the process ends itself: Ray then starts
another one and gives it the recordings again.
"""

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, as_completed
from typing import Any

from app.batch.attempts import MAX_ATTEMPTS
from app.batch.inputs import DEFAULT_COLUMN
from app.batch.rows import WORKER_DIED, Row, error_row
from app.batch.summarizer import BatchWork, RecordingSummarizer
from app.core.errors import EngineDead, Unavailable
from app.models.model_source import ModelSource

log = logging.getLogger(__name__)

ROW_COLUMN = "row"  # a row as JSON, so that no column's type depends on the rows of one batch


class SummarizeRecordings:
    """Makes rows of URIs.

    Args:
        work: What is asked for each recording.
        source: Finds the model.
        attempts: The handle of an `app.batch.attempts.AttemptCounter`.

    Raises:
        ServiceError: If the model cannot be loaded.
    """

    def __init__(self, work: BatchWork, source: ModelSource, attempts: Any) -> None:
        logging.basicConfig(level=work.settings.log_level.upper())
        self._attempts = attempts
        self._loop = asyncio.new_event_loop()
        self._parallel = work.parallel
        self._places = asyncio.Semaphore(work.parallel)
        self._alone = asyncio.Lock()
        threading.Thread(target=self._loop.run_forever, name="summarize", daemon=True).start()
        self._summarizer = self._run(self._start(work, source)).result()

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, list[str]]]:
        """Yield the row of each recording as soon as it is made."""
        rows = [self._run(self._make_row(str(uri))) for uri in batch[DEFAULT_COLUMN]]
        for done in as_completed(rows):
            yield {ROW_COLUMN: [json.dumps(done.result(), ensure_ascii=False)]}

    def stop(self) -> None:
        """Free the model and end the thread. In an actor the end of the process does that."""
        self._run(self._summarizer.stop()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self, work: Any) -> "Future[Any]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _start(self, work: BatchWork, source: ModelSource) -> RecordingSummarizer:
        summarizer = RecordingSummarizer(work, source)
        await summarizer.start()
        return summarizer

    async def _make_row(self, uri: str) -> Row:
        """Return the row of a recording once it has a place, or all places if a worker has died with it before."""
        async with self._places:
            attempt = await self._attempts.begin.remote(uri)
            row = await self._summarize(uri) if attempt == 1 else None
        if row is None:
            async with self._alone:
                for _ in range(self._parallel):
                    await self._places.acquire()
            try:
                row = await self._summarize(uri) if attempt <= MAX_ATTEMPTS else self._give_up(uri)
            finally:
                for _ in range(self._parallel):
                    self._places.release()
        await self._attempts.end.remote(uri)
        return row

    async def _summarize(self, uri: str) -> Row:
        try:
            row: Row = await self._summarizer.summarize(uri)
            return row
        except EngineDead as error:
            log.critical("The engine died while it worked on %s: %s This worker ends.", uri, error)
            logging.shutdown()
            os._exit(1)

    def _give_up(self, uri: str) -> Row:
        error = Unavailable(
            f"The worker died each of the {MAX_ATTEMPTS} times that it had begun with this recording.",
            code=WORKER_DIED,
        )
        return error_row(uri, self._summarizer.model_id, error, finished_at=time.time(), seconds=0.0)
