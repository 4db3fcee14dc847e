"""A stand-in for an OpenAI-compatible text model, on a real socket: answers as told, notes what it is asked."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Reply = Callable[[dict[str, Any]], str]
USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


class StandIn:
    """reply: the question's JSON → the answer's text; may be exchanged. asked: the questions. keys: who asked.
    failures: statuses of the next answers, which are errors. cut: answers met their limit.
    """

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.url = ""
        self.failures: list[int] = []
        self.cut = False


@contextmanager
def standing_in(reply: Reply) -> Iterator[StandIn]:
    """One that serves the model `big`; `url` is its address."""
    model = StandIn(reply)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer({"object": "list", "data": [{"id": "big", "object": "model", "created": 0, "owned_by": "x"}]})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            model.asked.append(asked)
            model.keys.append(self.headers["authorization"])
            if model.failures:
                self.answer({"error": {"message": "not now", "type": "x", "code": None}}, model.failures.pop(0))
                return
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": model.reply(asked)},
                "finish_reason": "length" if model.cut else "stop",
            }
            about = {"id": "x", "object": "chat.completion", "created": 0, "model": asked["model"]}
            self.answer(about | {"choices": [choice], "usage": USAGE})

        def answer(self, body: dict[str, Any], status: int = 200) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("retry-after-ms", "20")
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    model.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
