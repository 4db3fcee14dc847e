"""vLLM servers over HTTP in place of vLLM in this process: which of them is asked, and the answer as it comes.

The server with the fewest audio seconds on its hands is asked first, among equals the one with the fewest requests.
Another is asked only where no connection came about; once a server has a request, its failure is the request's, since
nobody knows how far it came. Knows nothing about audio formats or how a request is written.
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

START_POLL_SECONDS = 1.0  # between two looks at the servers while none is up yet


class RemoteChatModel:
    """A `Core` (see `app.engine.chat_request`) of one or several servers of the same checkpoint."""

    def __init__(self, wanted: ExpectedModel, tokens: ChatTokenizer, settings: RemoteSettings) -> None:
        self.servers = [RemoteServer(url, wanted, tokens, settings) for url in settings.urls]
        self._expected = wanted
        self._tokens = tokens
        self._settings = settings
        self._started = False
        self._running = 0

    async def start(self) -> None:
        """Wait for the first server. Raises `Unavailable` with what is wrong with each if none comes, or if all serve
        something else.
        """
        for server in self.servers:
            server.open()
        try:
            async with asyncio.timeout(self._settings.start_seconds):
                await self._wait_for_first_server()
        except TimeoutError:
            await self.stop()
            raise Unavailable(
                f"no vLLM server was there within {self._settings.start_seconds:g} s (the setting is "
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
                    f"no vLLM server can be asked ({setting_name('remote', 'urls')}): {self._server_faults()}",
                    code="engine_failed",
                )
            await asyncio.sleep(min(START_POLL_SECONDS, self._settings.health_seconds))

    async def stop(self) -> None:
        """Leave the servers. Harmless twice."""
        self._started = False
        await asyncio.gather(*(server.close() for server in self.servers))

    async def check_health(self) -> None:
        """Raise `EngineDead` if no server is up."""
        if not self._started:
            raise not_started_error()
        if not any(server.up for server in self.servers):
            raise self._all_dead_error()

    @property
    def running_requests(self) -> int:
        """Answers being written now, over all servers."""
        return self._running

    @property
    def context_tokens(self) -> int:
        """Tokens that a prompt and its answer may have together."""
        return self._expected.context_tokens

    def count_tokens(self, text: str) -> int:
        """Tokens of a text."""
        return self._tokens.count_tokens(text)

    async def add_adapter(self, adapter: Adapter) -> None:
        """Know an adapter that servers have loaded under its name (vLLM's `--lora-modules`). Raises `Unprocessable` if
        none lists it.
        """
        await asyncio.gather(*(server.refresh_adapters() for server in self.servers))
        if not any(server.up and adapter.name in server.served_names for server in self.servers):
            raise unusable_adapter_error(adapter.name, "no vLLM server that is up lists it (vLLM's --lora-modules)")

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Servers keep theirs."""

    async def stream(
        self, messages: Messages, sampling: SamplingOptions, request_id: str, audio: NDArray[np.float32] | None = None
    ) -> AsyncGenerator[EngineEvent, None]:
        """Write one answer: see `app.engine.chat_request.ChatModel`. "prefill" holds the way to the server too.

        Raises what a server's error means (`app.engine.remote.answer_stream`), `EngineDead` if no server is up.
        """
        if not self._started:
            raise not_started_error()
        began = time.perf_counter()
        first: float | None = None
        prompt_tokens, written, reason = 0, None, None
        tokens: list[int] = []
        watch = repetition_detector(sampling)
        self._running += 1
        try:
            yield StageStarted("prefill")
            clean = strip_control_tokens(messages, self._tokens.control_tokens)
            question = await asyncio.to_thread(
                CompletionRequest, clean, sampling, request_id, self._expected.context_tokens, audio
            )
            async with contextlib.AsyncExitStack() as stack:
                server, response = await self._send_to_server(
                    stack, question, 0.0 if audio is None else len(audio) / SAMPLE_RATE
                )
                events = await stack.enter_async_context(
                    contextlib.aclosing(read_chunks(response, self._expected.context_tokens))
                )
                async for chunk in events:
                    server.note_activity()
                    if first is None:
                        first = time.perf_counter()
                        yield StageStarted("decode")
                    tokens.extend(chunk.token_ids)
                    reason = chunk.finish_reason or reason
                    prompt_tokens = chunk.prompt_tokens or prompt_tokens
                    written = chunk.completion_tokens if chunk.completion_tokens is not None else written
                    if text := watch.feed(chunk.text) if watch else chunk.text:
                        yield TextDelta(text)
                    if watch and watch.repeated:  # leaving the block closes the connection, which aborts the request
                        break
            if watch and (rest := watch.flush()):
                yield TextDelta(rest)
            if watch and watch.repeated:
                reason = "repetition"
        finally:
            self._running -= 1
        ended = time.perf_counter()
        seconds = {"prefill": (first or ended) - began, "decode": ended - (first or ended)}
        count = len(tokens) if written is None else written
        yield GenerationFinished(finish_reason(reason), prompt_tokens, count, seconds, tuple(tokens))

    async def _send_to_server(
        self, stack: contextlib.AsyncExitStack, question: CompletionRequest, seconds: float
    ) -> tuple[RemoteServer, httpx.Response]:
        """The answer of the first server that takes the question, open until the stack ends."""
        tried: set[RemoteServer] = set()
        while waiting := [server for server in self.servers if server not in tried and _can_answer(server, question)]:
            server = min(waiting, key=lambda one: (one.queued_seconds, one.running_requests))
            tried.add(server)
            with contextlib.suppress(ServerUnreachable):
                return server, await stack.enter_async_context(server.open_answer(question, seconds))
        if question.adapter and any(server.up for server in self.servers):
            raise Unavailable(
                "None of the vLLM servers that are up has this adapter now.", code="engine_busy", retry_after_s=1
            )
        raise self._all_dead_error()

    def _all_dead_error(self) -> EngineDead:
        return EngineDead(f"none of the {len(self.servers)} vLLM servers can be asked now", code="engine_dead")

    def _server_faults(self) -> str:
        return "; ".join(f"{server.name}: {server.fault}" for server in self.servers)


def _can_answer(server: RemoteServer, question: CompletionRequest) -> bool:
    return server.up and question.adapter in (None, *server.served_names)
