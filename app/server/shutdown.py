"""Notices at once that the service is to stop, so that it can leave the load balancers before it stops.

There are two moments. From the signal on the service is draining: it still takes requests, but says that it is about to
go, and takes no new jobs out of the queue. After a delay it stops: the listening sockets close, streams without an end
of their own end, and requests get time to finish. An ASGI server tells its application only when the last response is
complete, which is too late for both. Knows nothing about HTTP.
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


class DrainEvent(StopEvent):
    """An event that is set at the first signal to stop.

    Attributes:
        delay_s: seconds from the first signal until the service stops. SIGINT, which people send, means 0.
    """

    def __init__(self, delay_s: float = 0.0) -> None:
        super().__init__()
        self.delay_s = delay_s

    def note_signal(self, number: int) -> None:
        """Set the event because of a signal."""
        if number == signal.SIGINT:
            self.delay_s = 0.0
        self.set()


@contextmanager
def watch_signals(drain_event: DrainEvent) -> Iterator[None]:
    """Set the event when a signal to stop arrives, and at the end of the block. The previous handler runs as well.

    Has no effect outside the main thread, where Python delivers no signals, and for a signal without a handler.
    """
    loop = asyncio.get_running_loop()
    installed = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if callable(previous := signal.getsignal(number)):
                installed[number] = (_ChainedSignalHandler(previous, drain_event, loop), previous)
                signal.signal(number, installed[number][0])
    try:
        yield
    finally:
        drain_event.set()
        for number, (own, previous) in installed.items():
            if signal.getsignal(number) is own:
                signal.signal(number, previous)


class _ChainedSignalHandler:
    """A signal handler that notes the signal and then calls the previous handler."""

    def __init__(self, previous_handler: object, drain_event: DrainEvent, loop: asyncio.AbstractEventLoop) -> None:
        self.previous_handler, self.drain_event, self.loop = previous_handler, drain_event, loop

    def __call__(self, number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop is closed already
            self.loop.call_soon_threadsafe(self.drain_event.note_signal, number)
        self.previous_handler(number, frame)  # type: ignore[operator]
