"""Runs the service of `tests.app.running_service` in a thread with its own event loop, for clients without asyncio."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from app.engine.base import Engine
from tests.app.running_service import Site, serving


@contextmanager
def serve_in_thread(engine: Engine | None = None, **options: Any) -> Iterator[Site]:
    """Run `serving` until the block ends. Its exceptions are raised here."""
    ready: Future[tuple[Site, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        async with serving(engine, **options) as site:
            ended = asyncio.Event()
            ready.set_result((site, asyncio.get_running_loop(), ended))
            await ended.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    site, loop, ended = ready.result()
    try:
        yield site
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
