"""A chat model on vLLM servers instead of in this process: it chooses the server and streams the answer.

A request goes to the server with the fewest seconds of audio still to answer, and among equals to the one with the
fewest requests. Another server is tried only if no connection could be made. Once a server has the request, its failure
is the request's failure, because nobody knows how far it got. Knows nothing about audio formats or request bodies.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

import httpx
import numpy as np
from numpy.typing import NDArray

from app.core.audio.limits import SAMPLE_RATE
from app.core.errors import EngineDead, Unavailable
from app.engine.base import Adapter, EngineEvent, GenerationFinished, StageStarted, TextDelta
from app.engine.chat_request import (
    Messages,
    SamplingOptions,
    finish_reason,
    not_started_error,
    repetition_detector,
    strip_control_tokens,
    unusable_adapter_error,
)
from app.engine.remote.answer_stream import read_chunks
from app.engine.remote.chat_tokenizer import ChatTokenizer
from app.engine.remote.request_body import CompletionRequest
from app.engine.remote.server import ExpectedModel, RemoteServer, ServerUnreachable
from app.settings import RemoteSettings, setting_name

START_POLL_SECONDS = 1.0  # seconds between two health checks while no server is up yet


class RemoteChatModel:
    """A `ChatModel` (see `app.engine.chat_request`) on one or several servers of the same checkpoint."""

    def __init__(self, expected: ExpectedModel, tokenizer: ChatTokenizer, settings: RemoteSettings) -> None:
        """Create the model without connecting.

        Args:
            expected: The model that each server must serve.
            tokenizer: The model's tokenizer and chat template.
            settings: The servers' URLs, the API key and the time-outs.
        """
        self.servers = [RemoteServer(url, expected, tokenizer, settings) for url in settings.urls]
        self._expected = expected
        self._tokenizer = tokenizer
        self._settings = settings
        self._started = False
        self._running = 0

    async def start(self) -> None:
        """Wait until the first server is up.

        Raises `Unavailable` with the fault of each server if none is up in time, or if all serve something else.
        """
        for server in self.servers:
            server.open()
        try:
            async with asyncio.timeout(self._settings.start_seconds):
                await self._wait_for_first_server()
        except TimeoutError:
            await self.stop()
            raise Unavailable(
                f"No vLLM server was up within {self._settings.start_seconds:g} s (the setting is "
                f"{setting_name('remote', 'start_seconds')}): {self._server_faults()}",
                code="engine_failed",
            ) from None
        except BaseException:
            await self.stop()
            raise
        for server in self.servers:
            server.start_health_checks()
        self._started = True

    async def _wait_for_first_server(self) -> None:
        while True:
            await asyncio.gather(*(server.update_health() for server in self.servers))
            if any(server.up for server in self.servers):
                return
            if all(server.unusable for server in self.servers):
                raise Unavailable(
                    f"No vLLM server can be used ({setting_name('remote', 'urls')}): {self._server_faults()}",
                    code="engine_failed",
                )
            await asyncio.sleep(min(START_POLL_SECONDS, self._settings.health_seconds))

    async def stop(self) -> None:
        """Close all connections. The servers keep running. Calling it twice does no harm."""
        self._started = False
        await asyncio.gather(*(server.close() for server in self.servers))

    async def check_health(self) -> None:
        """Raise `EngineDead` if no server is up, and `Unavailable` if the model was not started."""
        if not self._started:
            raise not_started_error()
        if not any(server.up for server in self.servers):
            raise self._all_dead_error()

    @property
    def running_requests(self) -> int:
        """Number of answers that are being generated now, on all servers."""
        return self._running

    @property
    def context_tokens(self) -> int:
        """Number of tokens that a prompt and its answer may have together."""
        return self._expected.context_tokens

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return self._tokenizer.count_tokens(text)

    async def add_adapter(self, adapter: Adapter) -> None:
        """Accept an adapter that servers have loaded under its name (vLLM's `--lora-modules`).

        Raises `Unprocessable` if no server lists it.
        """
        await asyncio.gather(*(server.refresh_adapters() for server in self.servers))
        if not any(server.up and adapter.name in server.served_names for server in self.servers):
            raise unusable_adapter_error(adapter.name, "no vLLM server that is up lists it (vLLM's --lora-modules)")

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Do nothing: the servers keep their adapters."""

    async def stream(
        self, messages: Messages, sampling: SamplingOptions, request_id: str, audio: NDArray[np.float32] | None = None
    ) -> AsyncGenerator[EngineEvent, None]:
        """Generate one answer, as `app.engine.chat_request.ChatModel.stream` says.

        The stage "prefill" includes the time until the request is at the server. Raises the ServiceError that stands
        for a server's error (`app.engine.remote.answer_stream`), and `EngineDead` if no server is up.
        """
        if not self._started:
            raise not_started_error()
        started_at = time.perf_counter()
        first_token_at: float | None = None
        prompt_tokens, completion_tokens, reason = 0, None, None
        tokens: list[int] = []
        detector = repetition_detector(sampling)
        self._running += 1
        try:
            yield StageStarted("prefill")
            clean_messages = strip_control_tokens(messages, self._tokenizer.control_tokens)
            completion = await asyncio.to_thread(
                CompletionRequest, clean_messages, sampling, request_id, self._expected.context_tokens, audio
            )
            async with contextlib.AsyncExitStack() as stack:
                server, response = await self._send_to_server(
                    stack, completion, 0.0 if audio is None else len(audio) / SAMPLE_RATE
                )
                events = await stack.enter_async_context(
                    contextlib.aclosing(read_chunks(response, self._expected.context_tokens))
                )
                async for chunk in events:
                    server.note_activity()
                    if first_token_at is None:
                        first_token_at = time.perf_counter()
                        yield StageStarted("decode")
                    tokens.extend(chunk.token_ids)
                    reason = chunk.finish_reason or reason
                    prompt_tokens = chunk.prompt_tokens or prompt_tokens
                    if chunk.completion_tokens is not None:
                        completion_tokens = chunk.completion_tokens
                    if text := detector.feed(chunk.text) if detector else chunk.text:
                        yield TextDelta(text)
                    # Leaving the block closes the connection, which aborts the request.
                    if detector and detector.repeated:
                        break
            if detector and (rest := detector.flush()):
                yield TextDelta(rest)
            if detector and detector.repeated:
                reason = "repetition"
        finally:
            self._running -= 1
        ended_at = time.perf_counter()
        first_token_at = first_token_at or ended_at
        seconds = {"prefill": first_token_at - started_at, "decode": ended_at - first_token_at}
        count = len(tokens) if completion_tokens is None else completion_tokens
        yield GenerationFinished(finish_reason(reason), prompt_tokens, count, seconds, tuple(tokens))

    async def _send_to_server(
        self, stack: contextlib.AsyncExitStack, completion: CompletionRequest, seconds: float
    ) -> tuple[RemoteServer, httpx.Response]:
        """Return the first server that takes the request, and its response, which is open until the stack is closed.

        seconds: the length of the request's audio.
        """
        tried: set[RemoteServer] = set()
        while untried := [one for one in self.servers if one not in tried and _can_answer(one, completion)]:
            server = min(untried, key=lambda one: (one.queued_seconds, one.running_requests))
            tried.add(server)
            with contextlib.suppress(ServerUnreachable):
                return server, await stack.enter_async_context(server.open_answer(completion, seconds))
        if completion.adapter and any(server.up for server in self.servers):
            raise Unavailable(
                "None of the vLLM servers that are up has this adapter now.", code="engine_busy", retry_after_s=1
            )
        raise self._all_dead_error()

    def _all_dead_error(self) -> EngineDead:
        return EngineDead(f"None of the {len(self.servers)} vLLM servers can be used now.", code="engine_dead")

    def _server_faults(self) -> str:
        return "; ".join(f"{server.name}: {server.fault}" for server in self.servers)


def _can_answer(server: RemoteServer, completion: CompletionRequest) -> bool:
    return server.up and completion.adapter in (None, *server.served_names)
