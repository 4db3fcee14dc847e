"""One vLLM server: its health, the audio that it still has to answer, and the sending of a request.

A server is up if it answers `/health`, lists the model in `/v1/models`, and tokenizes a prompt into the same tokens as
this service's tokenizer and chat template. Knows nothing about other servers, nor about how an answer is read.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpx
from pydantic import BaseModel

from app import metrics
from app.core.prompts import Style, instruction, notes_messages
from app.core.vllm_http import CONNECTION_LIMITS
from app.engine.remote.answer_stream import connection_error, status_error
from app.engine.remote.chat_tokenizer import ChatTokenizer
from app.engine.remote.request_body import CompletionRequest
from app.settings import RemoteSettings, setting_name
from app.telemetry.tracing import trace_headers

log = logging.getLogger(__name__)

WRITE_BYTES = 1 << 18  # bytes of a request that are written at once
MAX_ERROR_BYTES = 1 << 16  # bytes of an error response that are read
# After so many health checks in a row without an answer in time, a server is down. A single one may mean that the
# server is busy.
MAX_MISSED_CHECKS = 2


@dataclass(frozen=True)
class ExpectedModel:
    """The model that a server must serve, and the number of context tokens that it must have room for."""

    name: str
    version: str
    context_tokens: int

    @property
    def id(self) -> str:
        """The model's `name@version`."""
        return f"{self.name}@{self.version}"


class ServerUnreachable(Exception):
    """No connection could be made: the server has read nothing of the request, and another server may be asked."""


class _Unusable(Exception):
    """The server answers, but must get no requests. The message says why."""


class _Unhealthy(_Unusable):
    """The server says that it is not healthy, which may pass."""


class _ModelCard(BaseModel):
    id: str
    root: str | None = None
    max_model_len: int | None = None


class _ModelList(BaseModel):
    data: list[_ModelCard]


class _TokenizeResponse(BaseModel):
    tokens: list[int]


class RemoteServer:
    """A server at a base URL such as `http://gpu-1:8001`. For one event loop; takes no locks.

    Attributes:
        name: The URL without its scheme, for logs and metrics.
        up: Whether requests are sent to it.
        fault: What was wrong with it at its last health check.
        unusable: Whether waiting will not help, because it serves something else.
        served_names: The names of the models and adapters that it serves.
        queued_seconds: Seconds of audio that it was sent and has not answered yet.
        running_requests: Number of requests that it has not answered yet.
    """

    def __init__(self, url: str, expected: ExpectedModel, tokenizer: ChatTokenizer, settings: RemoteSettings) -> None:
        self.name = url.removeprefix("http://").removeprefix("https://")
        self.up = False
        self.fault = "it was not checked yet"
        self.unusable = False
        self.served_names: set[str] = set()
        self.queued_seconds = 0.0
        self.running_requests = 0
        self._url = url
        self._expected = expected
        self._tokenizer = tokenizer
        self._settings = settings
        self._model_name = ""  # the server's name for the model
        self._last_activity = 0.0  # monotonic time of the last byte from the server
        self._missed_checks = 0  # health checks in a row without an answer in time
        self._client: httpx.AsyncClient | None = None
        self._health_task: asyncio.Task[None] | None = None
        self._check_now = asyncio.Event()

    def open(self) -> None:
        """Create the HTTP client. It must be called before all other methods."""
        key = self._settings.api_key
        self._client = httpx.AsyncClient(
            base_url=self._url,
            headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else {},
            timeout=httpx.Timeout(self._settings.idle_seconds, connect=self._settings.connect_seconds, pool=None),
            limits=CONNECTION_LIMITS,
        )
        self._update_gauges()

    def start_health_checks(self) -> None:
        """Check the server's health at regular intervals from now on."""
        self._health_task = asyncio.create_task(self._run_health_checks())

    async def close(self) -> None:
        """Stop the health checks and close all connections. Calling it twice does no harm."""
        task, self._health_task = self._health_task, None
        client, self._client = self._client, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        if client is not None:
            await client.aclose()
        self.up = False
        for gauge in (metrics.REMOTE_UP, metrics.REMOTE_QUEUED_AUDIO):
            with suppress(KeyError):
                gauge.remove(self.name, self._expected.id)

    @asynccontextmanager
    async def open_answer(self, completion: CompletionRequest, seconds: float) -> AsyncIterator[httpx.Response]:
        """Send a request about so many seconds of audio, and give its response once the head has arrived.

        Leaving the block early closes the connection, and vLLM then aborts the request.

        Raises:
            ServerUnreachable: No connection could be made.
            ServiceError: The server's error; or "engine_lost" or "engine_silent" if the connection breaks or nothing
                more comes, also inside the block.
        """
        assert self._client is not None, "the server is not open"
        self._add_load(seconds, 1)
        try:
            try:
                response = await self._client.send(self._build_request(self._client, completion), stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                self._mark_down(f"no connection: {error or type(error).__name__}")
                raise ServerUnreachable from error
            try:
                self._last_activity = time.monotonic()
                if response.status_code != 200:
                    retry_after = response.headers.get("retry-after")
                    body = await _read_error_body(response)
                    raise status_error(response.status_code, body, retry_after, self._expected.context_tokens)
                yield response
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            self._check_now.set()
            raise connection_error(error) from error
        finally:
            self._add_load(-seconds, -1)

    def note_activity(self) -> None:
        """Note that bytes have come from the server: it is alive, even if it answers its health check late."""
        self._last_activity = time.monotonic()

    async def update_health(self) -> None:
        """Check the server's health once, and set `up`, `fault` and `unusable`."""
        started_at = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.health_timeout_seconds):
                await self._check_server()
        except (TimeoutError, httpx.TimeoutException):
            self._missed_checks = 0 if self._last_activity >= started_at else self._missed_checks + 1
            if not self.up or self._missed_checks >= MAX_MISSED_CHECKS:
                self._mark_down(
                    f"it did not answer its health check within {self._settings.health_timeout_seconds:g} s"
                )
        except _Unhealthy as error:
            self._mark_down(str(error))
        except _Unusable as error:
            self._mark_down(str(error), unusable=True)
        except httpx.HTTPError as error:
            self._mark_down(f"no connection: {error or type(error).__name__}")
        except ValueError as error:  # also pydantic's
            self._mark_down(f"it does not answer as vLLM does: {error}", unusable=True)
        else:
            self._missed_checks = 0
            self._set_status(True, "", False)

    async def refresh_adapters(self) -> None:
        """Ask the server which adapters it has now. If it does not answer, its next health check notices that."""
        if self._client is not None and self.up:
            with suppress(_Unusable, httpx.HTTPError, ValueError):
                await self._find_model_name(self._client)

    async def _run_health_checks(self) -> None:
        while True:
            self._check_now.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.health_seconds):
                    await self._check_now.wait()
            try:
                await self.update_health()
            except Exception:
                log.exception("The health check of %s failed.", self.name)

    async def _check_server(self) -> None:
        assert self._client is not None, "the server is not open"
        health = await self._client.get("/health")
        if health.status_code != 200:
            raise _Unhealthy(f"/health answered with status {health.status_code}")
        # A server that was down may have been started again with another model. One that was up cannot have been:
        # vLLM takes longer to start than the time between two health checks.
        if not self.up:
            self._model_name = await self._find_model_name(self._client)
            await self._compare_prompt(self._client)

    async def _find_model_name(self, client: httpx.AsyncClient) -> str:
        """Return the server's name for the model. Raises `_Unusable` if it does not serve it."""
        response = await client.get("/v1/models")
        if response.status_code in (401, 403):
            raise _Unusable(f"it does not accept the key in {setting_name('remote', 'api_key')}")
        if response.status_code != 200:
            raise _Unhealthy(f"/v1/models answered with status {response.status_code}")
        cards = _ModelList.model_validate_json(response.content).data
        self.served_names = {card.id for card in cards}
        card = next((card for card in cards if self._is_expected(card)), None)
        if card is None:
            raise _Unusable(
                f"it serves {', '.join(card.id for card in cards) or 'nothing'}, not {self._expected.id}: start it "
                f"with --served-model-name {self._expected.id}"
            )
        if card.max_model_len is not None and card.max_model_len < self._expected.context_tokens:
            raise _Unusable(
                f"it has room for {card.max_model_len} tokens, and {self._expected.id} needs "
                f"{self._expected.context_tokens}: start it with --max-model-len {self._expected.context_tokens}"
            )
        return card.id

    def _is_expected(self, card: _ModelCard) -> bool:
        """Compare the model's name, and the folder that it was loaded from as `model_repo.assemble` names it."""
        folder = [self._expected.name, self._expected.version]
        return card.id == self._expected.id or any(
            (path or "").rstrip("/").split("/")[-2:] == folder for path in (card.id, card.root)
        )

    async def _compare_prompt(self, client: httpx.AsyncClient) -> None:
        """Raise `_Unusable` if the server tokenizes a prompt otherwise than this service."""
        messages = notes_messages(instruction(Style()), "[0:00:00]\n- Anna, 19 °C.\n- Zürich 🚆")
        response = await client.post("/tokenize", json={"model": self._model_name, "messages": messages})
        if response.status_code == 404:
            log.warning("%s has no /tokenize, so its prompts cannot be compared with those of the training.", self.name)
            return
        if response.status_code != 200:
            raise _Unhealthy(f"/tokenize answered with status {response.status_code}")
        if _TokenizeResponse.model_validate_json(response.content).tokens != self._tokenizer.token_ids(messages):
            raise _Unusable(
                "it makes other tokens of a prompt than this service: are its tokenizer and chat template the "
                "checkpoint's?"
            )

    def _build_request(self, client: httpx.AsyncClient, completion: CompletionRequest) -> httpx.Request:
        parts = completion.body(completion.adapter or self._model_name)
        headers = {"Content-Type": "application/json", "Content-Length": str(sum(map(len, parts)))}
        headers |= trace_headers()  # vLLM joins its spans, if it was started with --otlp-traces-endpoint
        return client.build_request("POST", "/v1/chat/completions", content=_split_body(parts), headers=headers)

    def _mark_down(self, fault: str, unusable: bool = False) -> None:
        self._set_status(False, fault, unusable)

    def _set_status(self, up: bool, fault: str, unusable: bool) -> None:
        if up and not self.up:
            log.info("%s is up and serves %s.", self.name, self._expected.id)
        elif not up and (self.up or fault != self.fault):
            log.warning("%s gets no requests: %s", self.name, fault)
        self.up, self.fault, self.unusable = up, fault, unusable
        self._update_gauges()

    def _add_load(self, seconds: float, requests: int) -> None:
        self.running_requests += requests
        # Without requests it is exactly 0: sums of floats would leave a remainder.
        self.queued_seconds = self.queued_seconds + seconds if self.running_requests else 0.0
        self._update_gauges()

    def _update_gauges(self) -> None:
        if self._client is not None:
            metrics.REMOTE_UP.labels(self.name, self._expected.id).set(self.up)
            metrics.REMOTE_QUEUED_AUDIO.labels(self.name, self._expected.id).set(self.queued_seconds)


async def _split_body(parts: list[bytes]) -> AsyncIterator[bytes]:
    """Yield the body in pieces. Written at once, a long recording would be copied in memory for each packet."""
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(part), WRITE_BYTES):
            yield bytes(view[start : start + WRITE_BYTES])


async def _read_error_body(response: httpx.Response) -> bytes:
    """Return the first `MAX_ERROR_BYTES` bytes of an error response."""
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) >= MAX_ERROR_BYTES:
            break
    return body[:MAX_ERROR_BYTES]
