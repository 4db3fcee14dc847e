"""Notices at once that the service is to stop, so that answers without an end of their own can end.

An ASGI server tells its application only when the last answer has gone out, or its patience is over; a stream that
waits for something far away would hold it up until then. Knows nothing about HTTP.
"""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopEvent(asyncio.Event):
    """Set once the service is to stop."""

    async def wait_with_timeout(self, seconds: float) -> bool:
        """Whether it is set, after so many seconds at the latest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()
        return self.is_set()


@contextmanager
def watch_signals(stop_event: StopEvent) -> Iterator[None]:
    """Set it when a signal to stop comes, which whoever handled that before handles all the same; and at the end.

    Of no effect outside the main thread, which alone has signals, and where a signal has no handler.
    """
    loop = asyncio.get_running_loop()
    installed = {}
    if threading.current_thread() is threading.main_thread():
        for one in SIGNALS:
            if callable(before := signal.getsignal(one)):
                installed[one] = (_ChainedSignalHandler(before, stop_event, loop), before)
                signal.signal(one, installed[one][0])
    try:
        yield
    finally:
        stop_event.set()
        for one, (own, before) in installed.items():
            if signal.getsignal(one) is own:
                signal.signal(one, before)


class _ChainedSignalHandler:
    """A signal's handler before another one."""

    def __init__(self, previous_handler: object, stop_event: StopEvent, loop: asyncio.AbstractEventLoop) -> None:
        self.previous_handler, self.stop_event, self.loop = previous_handler, stop_event, loop

    def __call__(self, number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop is closed already
            self.loop.call_soon_threadsafe(self.stop_event.set)
        self.previous_handler(number, frame)  # type: ignore[operator]
