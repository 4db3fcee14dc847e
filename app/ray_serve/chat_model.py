"""A chat model in the replicas of the deployment `engine`, instead of in this process.

If a replica is lost, another one answers from the beginning, and what the caller has got already is left out. This is
possible only if the answer is the same, as it is with greedy decoding or a seed; otherwise the request fails and may be
repeated. Knows nothing about audio formats.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.engine.base import Adapter, EngineEvent
from app.engine.chat_request import Messages, SamplingOptions, not_started_error, unusable_adapter_error
from app.ray_serve.answer_progress import AnswerProgress
from app.ray_serve.lost_replicas import TRIES, ReplicaLost, lost_error, pause_before, read_replica

ENGINE = "engine"


class ServeChatModel:
    """A `ChatModel` (see `app.engine.chat_request`) behind the handle of a deployment of `EngineReplica`.

    Args:
        handle: Serve's handle of the deployment.
        context_tokens: Number of tokens that a prompt and its answer may have together.
        make_counter: Makes the function that counts the tokens of a text. It may take seconds.
        adapters: Names of the adapters that each replica has loaded.
    """

    def __init__(
        self,
        handle: Any,
        context_tokens: int,
        make_counter: Callable[[], Callable[[str], int]],
        adapters: frozenset[str] = frozenset(),
    ) -> None:
        self._handle = handle.options(method_name="stream", stream=True)
        self._context_tokens = context_tokens
        self._make_counter = make_counter
        self._adapters = adapters
        self._count: Callable[[str], int] | None = None
        self._running = 0

    async def start(self) -> None:
        """Load the tokenizer. The replicas load the model by themselves."""
        self._count = self._make_counter()

    async def stop(self) -> None:
        """Refuse requests from now on. The replicas keep running."""
        self._count = None

    async def check_health(self) -> None:
        """Raise `Unavailable` if the model was not started. Serve replaces replicas that die, and requests wait."""
        if self._count is None:
            raise not_started_error()

    @property
    def running_requests(self) -> int:
        """Number of answers that are being generated or wait for a replica."""
        return self._running

    @property
    def context_tokens(self) -> int:
        """Number of tokens that a prompt and its answer may have together."""
        return self._context_tokens

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text. The model must be started."""
        if self._count is None:
            raise not_started_error()
        return self._count(text)

    async def add_adapter(self, adapter: Adapter) -> None:
        """Accept an adapter that each replica has loaded at its start. Raises `Unprocessable` for any other."""
        if adapter.name not in self._adapters:
            raise unusable_adapter_error(adapter.name, "on Ray Serve, adapters are loaded when the application starts")

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Do nothing: the replicas keep their adapters."""

    async def stream(
        self,
        messages: Messages,
        sampling: SamplingOptions,
        request_id: str,
        audio: NDArray[np.float32] | None = None,
    ) -> AsyncGenerator[EngineEvent, None]:
        """Generate one answer, as `app.engine.chat_request.ChatModel.stream` says.

        Raises `Unavailable` (code "engine_lost") if a replica was lost and the answer cannot be continued.
        """
        if self._count is None:
            raise not_started_error()
        progress = AnswerProgress(lost_error(ENGINE))
        self._running += 1
        try:
            for number in range(TRIES):
                await pause_before(number)
                progress.restart()
                response = self._handle.remote(messages, sampling, f"{request_id}-{number}", audio)
                try:
                    async for event in read_replica(aiter(response)):
                        for new in progress.new_events(event):
                            yield new
                    return
                except ReplicaLost:
                    continue
                finally:
                    response.cancel()  # has no effect on a call that has ended
        finally:
            self._running -= 1
        raise lost_error(ENGINE)
