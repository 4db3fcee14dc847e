"""An event that says that work may have come.

Whoever brings work sets it. Whoever does the work waits for it, and looks now and then on its own, because other
services bring work too. Knows nothing about what the work is.
"""

import asyncio
from contextlib import suppress


class Wakeup(asyncio.Event):
    """`set` it when there may be work; `clear` it before looking for work."""

    async def wait_with_timeout(self, seconds: float) -> None:
        """Return when the event is set, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()
