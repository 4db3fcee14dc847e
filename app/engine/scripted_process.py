"""A scripted engine whose core is a process of its own, as vLLM's is, so that it can be killed while it writes.

It is for tests of what the service does then (`tools.soak`), as the model `scripted-process`. Knows nothing about HTTP.
"""

import asyncio
import subprocess
import sys

from app.core.errors import EngineDead
from app.engine.scripted import ScriptedEngine

# The core does nothing but live. It ends with the service, because its standard input is closed then.
CORE_NAME = "speechsum-scripted-core"
CORE_PROGRAM = "import sys; sys.stdin.read()"
PREFILL_SECONDS = 0.1
PIECE_SECONDS = 0.05


class ScriptedProcessEngine(ScriptedEngine):
    """A `ScriptedEngine` that is dead as soon as its process is."""

    def __init__(self) -> None:
        super().__init__(prefill_s=PREFILL_SECONDS, piece_s=PIECE_SECONDS, keep_requests=False)
        self._core: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start the process."""
        command = [sys.executable, "-I", "-S", "-c", CORE_PROGRAM, CORE_NAME]
        self._core = await asyncio.to_thread(subprocess.Popen, command, stdin=subprocess.PIPE)
        await super().start()

    async def stop(self) -> None:
        """End the process. Calling it twice does no harm."""
        await super().stop()
        core, self._core = self._core, None
        if core is not None and core.stdin is not None:
            core.kill()
            await asyncio.to_thread(core.wait)
            core.stdin.close()

    async def check_health(self) -> None:
        """Raise `EngineDead` once the process has ended."""
        if self._core is not None and self._core.poll() is not None:
            raise EngineDead("The engine's process has died.", code="engine_dead")
