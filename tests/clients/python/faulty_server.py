"""A stand-in for the service that fails at every step, as its script says: one step for each connection.

It writes down what came, so that a test can compare the tries of a request.
"""

import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

LINGER_RESET = struct.pack("ii", 1, 0)  # closing sends a reset and not the end of the stream
CHUNK_BYTES = 65_536
SUMMARY: dict[str, Any] = {
    "id": "sum-1",
    "object": "audio.summary",
    "created": 1,
    "model": "test-model@3",
    "kind": "cascade",
    "summary": "Anna pays.",
    "finish_reason": "stop",
    "audio_seconds": 2.0,
    "complete": True,
    "structured": None,
    "windows": [],
    "citations": [],
    "unsupported": None,
    "style": {"style": "paragraph", "instruction": "Summarize."},
    "audio": {
        "seconds": 2.0, "summarized_seconds": 2.0, "speech_seconds": 2.0, "encoder_windows": 1, "complete": True,
        "format": "wav", "sample_rate": 16000, "channels": 1,
    },
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    "timings": {"total": 0.1},
    "rtfx": 20.0,
    "warnings": [],
}  # fmt: skip
JOB: dict[str, Any] = {
    "id": "job-1", "object": "audio.summary.job", "state": "queued", "created": 1, "audio_bytes": 1, "attempts": 0,
}  # fmt: skip


@dataclass
class Received:
    """One request as far as it came. content: its body."""

    head: str
    content: bytes

    @property
    def line(self) -> str:
        """The method and the path."""
        return " ".join(self.head.split("\r\n")[0].split()[:2])

    def header(self, name: str) -> str | None:
        """The value of a header; None if it is missing."""
        found = re.search(rf"^{name}: (.*?)\r?$", self.head, re.IGNORECASE | re.MULTILINE)
        return found[1] if found else None

    @property
    def key(self) -> str | None:
        """The `Idempotency-Key`."""
        return self.header("idempotency-key")


Step = Callable[[socket.socket, "FaultyServer"], None]


@dataclass
class FaultyServer:
    """The stand-in. received: the requests in order. ended: set when the test is over, for a step that waits."""

    steps: list[Step]
    received: list[Received] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    listener: socket.socket = field(default_factory=socket.socket)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def read_request(self, connection: socket.socket, most: int | None = None) -> Received:
        """Read a request and write it down. most: stop after so many bytes of the body."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(CHUNK_BYTES)
        head, _, body = data.partition(b"\r\n\r\n")
        request = Received(head.decode(), body)
        wanted = int(request.header("content-length") or 0)
        while len(request.content) < (wanted if most is None else most):
            request.content += connection.recv(CHUNK_BYTES)
        self.received.append(request)
        return request

    def serve(self) -> None:
        """Accept connections until the socket is closed. Each has a thread, because a silent one must not hold up the
        next.
        """
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            step = self.steps.pop(0) if self.steps else answer(500, b"more connections than steps")
            threading.Thread(target=self._play, args=(step, connection), daemon=True).start()

    def _play(self, step: "Step", connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client left
            step(connection, self)


@contextmanager
def fail(*steps: Step, listen: bool = True) -> Iterator[FaultyServer]:
    """Run a stand-in until the block ends. listen: whether connections are accepted from the beginning; otherwise they
    are refused until `start_to_listen`.
    """
    server = FaultyServer(list(steps))
    server.listener.bind(("127.0.0.1", 0))
    if listen:
        start_to_listen(server)
    try:
        yield server
    finally:
        server.ended.set()
        with suppress(OSError):  # it never listened
            server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()


def start_to_listen(server: FaultyServer) -> None:
    """Accept connections from now on."""
    server.listener.listen()
    threading.Thread(target=server.serve, daemon=True).start()


def answer(status: int, body: Any = b"", **headers: str) -> Step:
    """A whole answer. body: bytes, or what becomes JSON. headers: `retry_after="2"`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def step(connection: socket.socket, server: FaultyServer) -> None:
        server.read_request(connection)
        connection.sendall(_head(status, {"content-length": str(len(content)), **headers}) + content)

    return step


def error(status: int, code: str, **headers: str) -> Step:
    """An error as the service sends it, with `x-should-retry`, which says whether a repeat can help."""
    detail = {"message": "It went wrong.", "type": "server_error", "param": None, "code": code}
    told = {"x_should_retry": "true" if "retry_after" in headers else "false", "x_request_id": "req_1"}
    return answer(status, {"error": detail}, **{**told, **headers})


def summary(**changes: Any) -> Step:
    """The summary."""
    return answer(200, {**SUMMARY, **changes})


def cut_upload(connection: socket.socket, server: FaultyServer) -> None:
    """Read a part of the body and reset the connection."""
    server.read_request(connection, most=1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)


def cut_answer(connection: socket.socket, server: FaultyServer) -> None:
    """Read the request, and close the connection in the middle of the answer."""
    server.read_request(connection)
    connection.sendall(_head(200, {"content-length": "1000"}) + b'{"id": ')


def stay_silent(connection: socket.socket, server: FaultyServer) -> None:
    """Read the request and answer nothing until the test ends."""
    server.read_request(connection)
    server.ended.wait(60)


def events(*data: Any, done: bool = False, silent: bool = False, **headers: str) -> Step:
    """A stream of events, cut off after the last one unless it is `done`. A `bytes` is sent as it is. silent: the
    connection stays open and nothing comes until the test ends.
    """

    def step(connection: socket.socket, server: FaultyServer) -> None:
        server.read_request(connection)
        connection.sendall(_head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked", **headers}))
        for one in (*data, *([b"data: [DONE]\n\n"] if done else [])):
            text = one if isinstance(one, bytes) else b"data: " + json.dumps(one).encode() + b"\n\n"
            connection.sendall(b"%x\r\n%s\r\n" % (len(text), text))
        if done:
            connection.sendall(b"0\r\n\r\n")
        if silent:
            server.ended.wait(60)

    return step


def delta(text: str) -> dict[str, Any]:
    """An event with a piece of text."""
    return {"id": "sum-1", "object": "audio.summary.delta", "created": 1, "model": "test-model@3", "delta": text}


def final(text: str = "Anna pays.") -> dict[str, Any]:
    """The last event."""
    return {**SUMMARY, "object": "audio.summary.done", "summary": text}


def _head(status: int, headers: dict[str, str]) -> bytes:
    given = {"connection": "close", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items()]
    return "\r\n".join([f"HTTP/1.1 {status} Status", *lines, "", ""]).encode()
