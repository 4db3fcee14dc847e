"""uvicorn's server, which leaves load balancers time to notice that it stops, and which a second signal ends at once.

After the first SIGTERM it listens for a while longer, and asks clients to close their connections. Then it stops as
uvicorn does: the sockets close, and open requests get time to finish. uvicorn's own server closes the sockets at once
and ignores a second SIGTERM. Knows nothing about routes.
"""

import asyncio
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from types import FrameType

import uvicorn

from app.server.http_protocol import BoundedHttpProtocol

FORCED_STOP_SECONDS = 5.0  # time that a second signal leaves for handing jobs back
EXIT_FORCED = 1
CLOSE_HEADER = (b"connection", b"close")


class DrainingServer(uvicorn.Server):
    """A server that stops after a delay.

    Args:
        delay_s: seconds from the first SIGTERM until it closes the listening sockets. SIGINT closes them at once.
    """

    def __init__(self, config: uvicorn.Config, delay_s: float) -> None:
        super().__init__(config)
        self._delay_s = delay_s
        self._stop_at: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal comes."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop at the first signal, and end at once at the second."""
        if self._stop_at is None:
            self._captured_signals.append(sig)
            self._stop_at = time.monotonic() + (0 if sig == signal.SIGINT else self._delay_s)
            return
        if not self.force_exit:
            self.should_exit = self.force_exit = True
            # Whatever hangs, an engine that does not end or a database that does not answer, must not hold this up.
            # The jobs of a process that ends here are taken over when their leases have expired.
            last_resort = threading.Timer(FORCED_STOP_SECONDS, os._exit, (EXIT_FORCED,))
            last_resort.daemon = True
            last_resort.start()
            assert self._loop is not None  # signals are handled while it serves
            self._loop.call_soon_threadsafe(self._cut_connections)

    async def on_tick(self, counter: int) -> bool:
        """Return whether the server stops now."""
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self.should_exit = True
        stops = await super().on_tick(counter)
        headers = self.server_state.default_headers
        if self._stop_at is not None and CLOSE_HEADER not in headers:
            self.server_state.default_headers = [*headers, CLOSE_HEADER]
        return stops

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop. After a second signal, the application only gets a moment to put its work away."""
        await super().shutdown(sockets)
        if self.force_exit:
            with suppress(TimeoutError):
                async with asyncio.timeout(FORCED_STOP_SECONDS):
                    await self.lifespan.shutdown()

    def _cut_connections(self) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, BoundedHttpProtocol):
                connection.abort()
