"""An engine in front of fake vLLM servers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import numpy as np
import pytest

from app.core.errors import ServiceError
from app.engine.audio_llm import AudioLlmEngine
from app.engine.base import EngineEvent, GenerationRequest, TextDelta
from app.engine.remote.server_pool import RemoteChatModel
from app.settings import RemoteSettings
from tests.app.engine.remote.fake_vllm_server import WANTED, FakeVllmServer, chat_tokenizer
from tests.app.running_service import value

HEALTH_S = 0.1
PIECES = [f"piece{number} " for number in range(8)]
FOREVER = [f"piece{number} " for number in range(5000)]


def generation_request(seconds: float = 1.0, name: str = "one", **how: Any) -> GenerationRequest:
    return GenerationRequest(
        name, np.zeros(round(seconds * 16_000), np.float32), "Summarize.", how.pop("max_tokens", 100), **how
    )


class Front:
    """An engine, its chat model, and the servers behind it."""

    def __init__(self, model: RemoteChatModel, servers: Sequence[FakeVllmServer]) -> None:
        self.model = model
        self.engine = AudioLlmEngine(model)
        self.behind = servers

    async def read(self, generation: GenerationRequest | None = None) -> list[EngineEvent]:
        return [event async for event in self.engine.generate(generation or generation_request())]

    async def text(self, generation: GenerationRequest | None = None) -> str:
        return "".join(event.text for event in await self.read(generation) if isinstance(event, TextDelta))

    def up(self) -> list[bool]:
        return [server.up for server in self.model.servers]

    def gauges(self, name: str) -> list[float]:
        return [value(f"speechsum_remote_{name}", server=server.name) for server in self.behind]


def remote_model_of(servers: Sequence[FakeVllmServer], **how: Any) -> RemoteChatModel:
    settings = {"health_seconds": HEALTH_S, "connect_seconds": 5, "start_seconds": 30, **how}
    return RemoteChatModel(
        WANTED, chat_tokenizer(), RemoteSettings(urls=[server.url for server in servers], **settings)
    )


@asynccontextmanager
async def started_front(
    *servers: FakeVllmServer, asleep: Sequence[FakeVllmServer] = (), **how: Any
) -> AsyncIterator[Front]:
    """Start these servers and an engine in front of them, and of the `asleep` ones, which are not started."""
    async with AsyncExitStack() as stack:
        for server in servers:
            stack.callback(server.start().die)
        for server in asleep:
            stack.callback(server.die)
        front = Front(remote_model_of([*servers, *asleep], **how), [*servers, *asleep])
        await front.engine.start()
        stack.push_async_callback(front.engine.stop)
        yield front


async def expect_error(
    front: Front, generation: GenerationRequest | None = None
) -> tuple[ServiceError, list[EngineEvent]]:
    """Return the error of a request, and the events before it."""
    seen: list[EngineEvent] = []

    async def listen() -> None:
        async for event in front.engine.generate(generation or generation_request()):
            seen.append(event)

    with pytest.raises(ServiceError) as failure:
        await listen()
    assert front.engine.running_requests == 0
    return failure.value, seen
