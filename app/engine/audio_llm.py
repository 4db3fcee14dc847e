"""What every engine over a core has in common: it lives, counts and takes adapters as its core does.

Knows nothing about what is asked.
"""

from app.engine.base import Adapter
from app.engine.chat_request import ChatModel


class ChatModelEngine:
    """A `Checkpoint` (see `app.engine.base`) by its core, in this process or behind servers."""

    def __init__(self, core: ChatModel) -> None:
        self._model = core

    async def start(self) -> None:
        """Load the checkpoint, or find the servers that have."""
        await self._model.start()

    async def stop(self) -> None:
        """Free what `start` took."""
        await self._model.stop()

    async def check_health(self) -> None:
        """Raise `EngineDead` if nothing can be answered any more."""
        await self._model.check_health()

    @property
    def running_requests(self) -> int:
        """Requests inside the engine now."""
        return self._model.running_requests

    @property
    def context_tokens(self) -> int:
        """Tokens that a prompt and its answer may have together."""
        return self._model.context_tokens

    def count_tokens(self, text: str) -> int:
        """Tokens of a text."""
        return self._model.count_tokens(text)

    async def add_adapter(self, adapter: Adapter) -> None:
        """Load a LoRA adapter on the language model."""
        await self._model.add_adapter(adapter)

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Forget it."""
        await self._model.remove_adapter(adapter)
