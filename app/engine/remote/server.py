"""One vLLM server: whether it is up and serves the model, how much audio it has been given, and one way to ask it.

Up is who answers `/health`, lists the model in `/v1/models` and reads a prompt as the tokens that this service's own
tokenizer and chat template make of it. Knows nothing about other servers, nor about how an answer is read.
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
from app.engine.remote.answer_stream import connection_error, status_error
from app.engine.remote.chat_tokenizer import ChatTokenizer
from app.engine.remote.request_body import CompletionRequest
from app.settings import RemoteSettings, setting_name

log = logging.getLogger(__name__)

WRITE_BYTES = 1 << 18  # bytes of a request written at once
MAX_ERROR_BYTES = 1 << 16  # bytes read of an answer that is an error
MAX_MISSED_CHECKS = 2  # health checks in a row without an answer in time; one alone may be a server with its hands full


@dataclass(frozen=True)
class ExpectedModel:
    """What a server must serve: version `version` of the model `name`, with room for so many tokens."""

    name: str
    version: str
    context_tokens: int

    @property
    def id(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"


class ServerUnreachable(Exception):
    """No connection came about: nothing of the request has been read, and another server may be asked."""


class _Unusable(Exception):
    """It answers, and cannot be asked; the message says why."""


class _Unhealthy(_Unusable):
    """It says so itself; that passes."""


class _ModelCard(BaseModel):
    id: str
    root: str | None = None
    max_model_len: int | None = None


class _ModelList(BaseModel):
    data: list[_ModelCard]


class _TokenizeResponse(BaseModel):
    tokens: list[int]


class RemoteServer:
    """A server at a base address such as `http://gpu-1:8001`. For one event loop.

    up: whether it is asked. why: what was wrong with it when it was last looked at. unusable: whether waiting will
    not help, because it serves something else. queued_seconds: audio it was given and has not answered yet. running:
    requests.
    """

    def __init__(self, url: str, wanted: ExpectedModel, tokens: ChatTokenizer, settings: RemoteSettings) -> None:
        self.name = url.removeprefix("http://").removeprefix("https://")
        self.up = False
        self.fault = "not looked at yet"
        self.unusable = False
        self.served_names: set[str] = set()
        self.queued_seconds = 0.0
        self.running_requests = 0
        self._url = url
        self._expected = wanted
        self._tokens = tokens
        self._settings = settings
        self._model_name = ""  # its name for the model
        self._last_activity = 0.0  # when it last said anything
        self._missed_checks = 0  # health checks in a row
        self._client: httpx.AsyncClient | None = None
        self._health_task: asyncio.Task[None] | None = None
        self._check_now = asyncio.Event()

    def open(self) -> None:
        """Make it ready to be looked at and asked."""
        key = self._settings.api_key
        # A connection of its own for each request: one that lay waiting may be closed by the server just as the next
        # request goes out on it, and whether that was read nobody knows.
        self._client = httpx.AsyncClient(
            base_url=self._url,
            headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else {},
            timeout=httpx.Timeout(self._settings.idle_seconds, connect=self._settings.connect_seconds, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )
        self._update_gauges()

    def start_health_checks(self) -> None:
        """Look at it again and again from now on."""
        self._health_task = asyncio.create_task(self._run_health_checks())

    async def close(self) -> None:
        """End all of it. Harmless twice."""
        watching, self._health_task = self._health_task, None
        client, self._client = self._client, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait({watching})
        if client is not None:
            await client.aclose()
        self.up = False
        for gauge in (metrics.REMOTE_UP, metrics.REMOTE_QUEUED_AUDIO):
            with suppress(KeyError):
                gauge.remove(self.name, self._expected.id)

    @asynccontextmanager
    async def open_answer(self, question: CompletionRequest, seconds: float) -> AsyncIterator[httpx.Response]:
        """The server's answer to a question about so many seconds of audio, begun; leaving the block early closes the
        connection, and vLLM aborts the request. Raises `ServerUnreachable`, or ServiceError: what the server said, and
        "engine_lost", "engine_silent" if nothing more comes from it, also inside the block.
        """
        assert self._client is not None, "it is not open"
        self._add_load(seconds, 1)
        try:
            try:
                response = await self._client.send(self._build_request(self._client, question), stream=True)
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
        """It said something just now: it is alive, however late it answers when asked for its health."""
        self._last_activity = time.monotonic()

    async def update_health(self) -> None:
        """Find out whether it is up."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.health_timeout_seconds):
                await self._check_server()
        except (TimeoutError, httpx.TimeoutException):
            self._missed_checks = 0 if self._last_activity >= began else self._missed_checks + 1
            if not self.up or self._missed_checks >= MAX_MISSED_CHECKS:
                self._mark_down(f"it gave no sign of health within {self._settings.health_timeout_seconds:g} s")
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
        """Find out which adapters it has now; one that does not answer is left to its next check."""
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
                log.exception("looking at %s failed", self.name)

    async def _check_server(self) -> None:
        assert self._client is not None, "it is not open"
        health = await self._client.get("/health")
        if health.status_code != 200:
            raise _Unhealthy(f"/health answered with status {health.status_code}")
        if not self.up:  # it may be another than before: vLLM takes longer to start than two looks lie apart
            self._model_name = await self._find_model_name(self._client)
            await self._compare_prompt(self._client)

    async def _find_model_name(self, client: httpx.AsyncClient) -> str:
        """Its name for the model. Raises `_Unusable` if it has none."""
        answer = await client.get("/v1/models")
        if answer.status_code in (401, 403):
            raise _Unusable(f"it does not take the key in {setting_name('remote', 'api_key')}")
        if answer.status_code != 200:
            raise _Unhealthy(f"/v1/models answered with status {answer.status_code}")
        cards = _ModelList.model_validate_json(answer.content).data
        self.served_names = {card.id for card in cards}
        card = next((card for card in cards if self._is_expected(card)), None)
        if card is None:
            raise _Unusable(
                f"it serves {', '.join(card.id for card in cards) or 'nothing'}, not {self._expected.id}: start it "
                "with "
                f"--served-model-name {self._expected.id}"
            )
        if card.max_model_len is not None and card.max_model_len < self._expected.context_tokens:
            raise _Unusable(
                f"it has room for {card.max_model_len} tokens, {self._expected.id} is served with "
                f"{self._expected.context_tokens}: start it with --max-model-len {self._expected.context_tokens}"
            )
        return card.id

    def _is_expected(self, card: _ModelCard) -> bool:
        """By its name, or by the folder it was loaded from, as `model_repo.assemble` names it."""
        folder = [self._expected.name, self._expected.version]
        return card.id == self._expected.id or any(
            (path or "").rstrip("/").split("/")[-2:] == folder for path in (card.id, card.root)
        )

    async def _compare_prompt(self, client: httpx.AsyncClient) -> None:
        """Raise `_Unusable` if it makes other tokens of a prompt than this service's tokenizer and chat template."""
        messages = notes_messages(instruction(Style()), "[0:00:00]\n- Anna, 19 °C.\n- Zürich 🚆")
        answer = await client.post("/tokenize", json={"model": self._model_name, "messages": messages})
        if answer.status_code == 404:
            log.warning("%s has no /tokenize: whether it words prompts as trained is not known", self.name)
            return
        if answer.status_code != 200:
            raise _Unhealthy(f"/tokenize answered with status {answer.status_code}")
        if _TokenizeResponse.model_validate_json(answer.content).tokens != self._tokens.token_ids(messages):
            raise _Unusable("it makes other tokens of a prompt: are its tokenizer and chat template the checkpoint's?")

    def _build_request(self, client: httpx.AsyncClient, question: CompletionRequest) -> httpx.Request:
        parts = question.body(question.adapter or self._model_name)
        headers = {"Content-Type": "application/json", "Content-Length": str(sum(map(len, parts)))}
        return client.build_request("POST", "/v1/chat/completions", content=_split_body(parts), headers=headers)

    def _mark_down(self, why: str, unusable: bool = False) -> None:
        self._set_status(False, why, unusable)

    def _set_status(self, up: bool, why: str, unusable: bool) -> None:
        if up and not self.up:
            log.info("%s is up and serves %s", self.name, self._expected.id)
        elif not up and (self.up or why != self.fault):
            log.warning("%s is not asked: %s", self.name, why)
        self.up, self.fault, self.unusable = up, why, unusable
        self._update_gauges()

    def _add_load(self, seconds: float, requests: int) -> None:
        self.running_requests += requests
        self.queued_seconds = (
            self.queued_seconds + seconds if self.running_requests else 0.0
        )  # no rest of floating point
        self._update_gauges()

    def _update_gauges(self) -> None:
        if self._client is not None:
            metrics.REMOTE_UP.labels(self.name, self._expected.id).set(self.up)
            metrics.REMOTE_QUEUED_AUDIO.labels(self.name, self._expected.id).set(self.queued_seconds)


async def _split_body(parts: list[bytes]) -> AsyncIterator[bytes]:
    """In pieces: written as one, a long recording would be moved about in memory as often as it has packets."""
    for part in parts:
        view = memoryview(part)
        for at in range(0, len(part), WRITE_BYTES):
            yield bytes(view[at : at + WRITE_BYTES])


async def _read_error_body(response: httpx.Response) -> bytes:
    """The answer, as far as an error is read."""
    read = b""
    async for piece in response.aiter_bytes():
        read += piece
        if len(read) >= MAX_ERROR_BYTES:
            break
    return read[:MAX_ERROR_BYTES]
