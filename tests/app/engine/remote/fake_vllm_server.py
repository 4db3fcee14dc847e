"""A stand-in for a vLLM server: a real HTTP server on the loopback that speaks vLLM 0.32's dialect and plays back a
script.

It does what the server does around the model: words the prompt with the checkpoint's chat template, counts a
recording's tokens, refuses what does not fit, ends an answer by `stop`, by length, by repetition, sends its events in
vLLM's order, and forgets a request whose client has left. Read off `entrypoints/openai/chat_completion/serving.py`.
"""

import asyncio
import base64
import io
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import soundfile
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from app.engine.remote.chat_tokenizer import ChatTokenizer
from app.engine.remote.server import ExpectedModel
from model_repo.architectures import AUDIO_TOKEN, CHAT_TEMPLATE
from tests.quick_server import QuickServer

CONTEXT = 8192
WANTED = ExpectedModel("stand-in", "1", CONTEXT)
TOKENS_A_SECOND = 25
KNOWN = {
    *("model", "messages", "request_id", "max_completion_tokens", "temperature", "top_p", "top_k", "min_p", "seed"),
    *("stop", "repetition_penalty", "presence_penalty", "frequency_penalty", "repetition_detection"),
    *("structured_outputs", "stream", "stream_options", "return_token_ids"),
}


def _tokenizer() -> str:
    """A byte a token, with the control tokens of the checkpoints."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    names = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", AUDIO_TOKEN)
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    return str(made.to_str())


TOKENIZER = _tokenizer()


def chat_tokenizer() -> ChatTokenizer:
    """Return the tokenizer of the servers' checkpoint."""
    return ChatTokenizer(TOKENIZER, CHAT_TEMPLATE)


class FakeVllmServer:
    """A server with vLLM's API that writes `pieces`, one token each.

    Attributes:
        pieces: The texts to write, or a function that returns them for a request's body.
        served: The cards in `/v1/models`.
        prefill_s: Seconds before the first piece.
        piece_s: Seconds before each piece.
        key: The value of vLLM's `--api-key`.
        health: The status of `/health`.
        health_s: Seconds that `/health` takes.
        refusal: (status, body, headers) of every response.
        error_after: (number of pieces, error), after which an answer ends with vLLM's error event.
        breaks_after: Number of pieces after which the connection breaks.
        slams: Whether the connection breaks once the request is read.
        asked: The bodies of all requests.
        running: Number of requests now.
        aborted: Number of requests whose client left.
    """

    def __init__(self, pieces: Sequence[str] | Callable[[dict[str, Any]], Sequence[str]] = (), **how: Any) -> None:
        self.pieces = pieces
        self.served: list[dict[str, Any]] = [
            {"id": WANTED.id, "object": "model", "root": "/models/stand-in", "max_model_len": CONTEXT}
        ]
        self.prefill_s, self.piece_s = 0.0, 0.0
        self.key = ""
        self.tokenizer, self.template = TOKENIZER, CHAT_TEMPLATE
        self.health, self.health_s = 200, 0.0
        self.refusal: tuple[int, Any, dict[str, str]] | None = None
        self.error_after: tuple[int, dict[str, Any]] | None = None
        self.breaks_after: int | None = None
        self.no_tokenize = self.slams = False
        vars(self).update(how)
        self.asked: list[dict[str, Any]] = []
        self.traceparents: list[str] = []  # of all requests; empty where there was none
        self.asked_over: list[tuple[str, int]] = []  # the connections of requests, and of looks at its health
        self.looked_over: list[tuple[str, int]] = []
        self.running = self.aborted = self.most_running = 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def name(self) -> str:
        """The server's name in metrics."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> "FakeVllmServer":
        """Listen, on the same port as before."""
        routes = [
            Route("/health", self._health),
            Route("/v1/models", self._models),
            Route("/tokenize", self._tokenize, methods=["POST"]),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), port=self.port, log_level="critical", lifespan="off")
        server = self._server = QuickServer(config)

        async def run() -> None:
            self._loop = asyncio.get_running_loop()
            await server.serve()

        self._thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        self._thread.start()
        until = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < until, "the stand-in did not start"
            time.sleep(0.005)
        return self

    def die(self) -> None:
        """Break all connections and stop listening, as when the process is killed. Calling it twice does no harm."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return

        def end() -> None:
            server.force_exit = server.should_exit = True
            self._abort()

        self._loop.call_soon_threadsafe(end)
        thread.join(20)
        self._server = None
        assert not thread.is_alive(), "the stand-in did not end"

    # --- HTTP

    def _abort(self, client: tuple[str, int] | None = None) -> None:
        """Break the connection of a client, or of all."""
        assert self._server is not None
        for connection in list(self._server.server_state.connections):
            if client in (None, connection.client):  # type: ignore[union-attr]
                connection.transport.abort()  # type: ignore[union-attr]

    async def _health(self, request: Request) -> Response:
        assert request.client is not None
        self.looked_over.append(tuple(request.client))
        await asyncio.sleep(self.health_s)
        return Response(status_code=self.health)

    async def _models(self, request: Request) -> Response:
        return self._unauthorized(request) or JSONResponse({"object": "list", "data": self.served})

    async def _tokenize(self, request: Request) -> Response:
        if self.no_tokenize:
            return JSONResponse({"detail": "Not Found"}, 404)
        ids = self._prompt((await request.json())["messages"])
        return JSONResponse({"count": len(ids), "max_model_len": CONTEXT, "tokens": ids, "token_strs": None})

    async def _chat(self, request: Request) -> Response:
        if (no := self._unauthorized(request)) is not None:
            return no
        body = await request.json()
        self.asked.append(body)
        assert request.client is not None
        self.asked_over.append(tuple(request.client))
        self.traceparents.append(request.headers.get("traceparent", ""))
        if self.slams:
            self._abort(tuple(request.client))
            return Response()
        if self.refusal is not None:
            status, said, headers = self.refusal
            return JSONResponse(said, status, headers=headers)
        if unknown := set(body) - KNOWN:
            return _error(400, "BadRequestError", f"what is {sorted(unknown)}?")
        if body["model"] not in {card["id"] for card in self.served}:
            return _error(404, "NotFoundError", f"The model `{body['model']}` does not exist.")
        ids = self._prompt(body["messages"])
        if len(ids) > CONTEXT:
            return _error(
                400,
                "BadRequestError",
                f"This model's maximum context length is {CONTEXT} tokens. However, your prompt contains {len(ids)} "
                "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of "
                "the input prompt.",
            )
        if body["max_completion_tokens"] > CONTEXT:
            return _error(400, "BadRequestError", "max_completion_tokens is more than max_model_len")
        return StreamingResponse(self._stream(body, ids), media_type="text/event-stream")

    def _unauthorized(self, request: Request) -> Response | None:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        return None

    # --- what the engine behind it would do

    def _prompt(self, messages: list[dict[str, Any]]) -> list[int]:
        """Token ids of the prompt, each recording as that many placeholders."""
        seconds = []
        for message in messages:
            for part in message["content"] if isinstance(message["content"], list) else []:
                if part["type"] == "input_audio":
                    assert part["input_audio"]["format"] == "wav"
                    file = io.BytesIO(base64.b64decode(part["input_audio"]["data"], validate=True))
                    samples, rate = soundfile.read(file, dtype="float32")
                    assert (rate, samples.ndim) == (16_000, 1)
                    seconds.append(len(samples) / rate)
        words = ChatTokenizer(self.tokenizer, self.template)
        (place,) = words._tokenizer.encode(AUDIO_TOKEN, add_special_tokens=False).ids
        out: list[int] = []
        for token in words.token_ids(messages):
            out += [place] * max(1, int(TOKENS_A_SECOND * seconds.pop(0))) if token == place else [token]
        assert not seconds, "more recordings than placeholders"
        return out

    def _written(self, body: dict[str, Any], room: int) -> tuple[list[str], list[int], str, str | None]:
        """Pieces, their token ids, the reason of the end, and the stop text that was met."""
        script = list(self.pieces(body) if callable(self.pieces) else self.pieces)
        names = {piece: index for index, piece in enumerate(dict.fromkeys(script))}
        most = min(body["max_completion_tokens"], room)
        found = body["repetition_detection"]
        pieces: list[str] = []
        ids: list[int] = []
        for piece in script:
            pieces.append(piece)
            ids.append(names[piece])
            text = "".join(pieces)
            if met := next((stop for stop in body.get("stop", []) if stop in text), None):
                pieces[-1] = piece[: max(0, len(piece) - len(text) + text.index(met))]
                return pieces, ids, "stop", met
            if _repeats(ids, found["min_pattern_size"], found["max_pattern_size"], found["min_count"]):
                return pieces, ids, "repetition", None
            if len(ids) == most:
                return pieces, ids, "length", None
        return [*pieces, ""], [*ids, 2], "stop", None  # the end of the turn is a token without text

    async def _stream(self, body: dict[str, Any], prompt: list[int]) -> AsyncIterator[str]:
        pieces, ids, reason, met = self._written(body, CONTEXT - len(prompt))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        done = False
        try:
            await asyncio.sleep(self.prefill_s)
            if self.error_after is None or self.error_after[0] > 0:
                yield _event(_choice({"role": "assistant", "content": ""}), prompt_token_ids=prompt)
            for number, (piece, token) in enumerate(zip(pieces, ids, strict=True)):
                if self.error_after is not None and number == self.error_after[0]:
                    yield f"data: {json.dumps({'error': self.error_after[1]})}\n\ndata: [DONE]\n\n"
                    done = True
                    return
                if number == self.breaks_after:
                    done = True
                    raise ConnectionResetError
                await asyncio.sleep(self.piece_s)
                last = {"finish_reason": reason, "stop_reason": met} if number == len(pieces) - 1 else {}
                yield _event(_choice({"content": piece}, token_ids=[token], **last))
            usage = {
                "prompt_tokens": len(prompt),
                "completion_tokens": len(ids),
                "total_tokens": len(prompt) + len(ids),
            }
            yield _event([], usage=usage)
            yield "data: [DONE]\n\n"
            done = True
        finally:
            self.running -= 1
            self.aborted += not done


def _event(choices: list[dict[str, Any]], **more: Any) -> str:
    event = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": choices, **more}
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"  # pydantic escapes no more than this either


def _choice(delta: dict[str, str], **more: Any) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **more}]


def _error(status: int, kind: str, message: str) -> Response:
    error = {"message": message, "type": kind, "param": None, "code": status}
    return JSONResponse({"error": error}, status)


def _repeats(ids: list[int], least: int, most: int, count: int) -> bool:
    """Whether the ids end in a pattern of `least` to `most` tokens that stands there `count` times."""
    return any(
        len(ids) >= size * count and ids[-size * count :] == ids[-size:] * count for size in range(least, most + 1)
    )
