"""uvicorn's server, but one that stops within milliseconds: the tests start hundreds."""

import asyncio
import itertools
import socket

import uvicorn


class QuickServer(uvicorn.Server):
    """A server that looks a hundred times a second whether it is to stop, not ten times. When it stops, it waits for
    connections only if there are any; uvicorn waits a tenth of a second in any case.
    """

    async def main_loop(self) -> None:
        """Serve until it is to stop."""
        for counter in itertools.count():
            if await self.on_tick(counter):
                return
            await asyncio.sleep(0.01)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and wait for what still goes on."""
        if sockets or self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
        if not self.force_exit:
            await self.lifespan.shutdown()
