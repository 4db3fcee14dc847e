"""Work may have come: told by who brings it, looked for by who does it, since other services bring some too.

Knows nothing about what the work is.
"""

import asyncio
from contextlib import suppress


class Wakeup(asyncio.Event):
    """`set` when there may be work; `clear` before one looks for it."""

    async def wait_with_timeout(self, seconds: float) -> None:
        """Return when it is set, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()
