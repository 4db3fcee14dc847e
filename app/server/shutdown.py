"""Notices at once that the service is to stop, so that responses without an end of their own can end.

An ASGI server tells its application only when the last response is complete, or when its patience is over. A stream
that waits for something slow would hold up the shutdown until then. Knows nothing about HTTP.
"""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopEvent(asyncio.Event):
    """An event that is set once the service is to stop."""

    async def wait_with_timeout(self, seconds: float) -> bool:
        """Wait for at most so many seconds; return whether the event is set."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()
        return self.is_set()


@contextmanager
def watch_signals(stop_event: StopEvent) -> Iterator[None]:
    """Set the event when a signal to stop arrives, and at the end of the block. The previous handler runs as well.

    Has no effect outside the main thread, where Python delivers no signals, and for a signal without a handler.
    """
    loop = asyncio.get_running_loop()
    installed = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if callable(previous := signal.getsignal(number)):
                installed[number] = (_ChainedSignalHandler(previous, stop_event, loop), previous)
                signal.signal(number, installed[number][0])
    try:
        yield
    finally:
        stop_event.set()
        for number, (own, previous) in installed.items():
            if signal.getsignal(number) is own:
                signal.signal(number, previous)


class _ChainedSignalHandler:
    """A signal handler that sets the event and then calls the previous handler."""

    def __init__(self, previous_handler: object, stop_event: StopEvent, loop: asyncio.AbstractEventLoop) -> None:
        self.previous_handler, self.stop_event, self.loop = previous_handler, stop_event, loop

    def __call__(self, number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop is closed already
            self.loop.call_soon_threadsafe(self.stop_event.set)
        self.previous_handler(number, frame)  # type: ignore[operator]
