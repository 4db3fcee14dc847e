"""Requests for summaries written by hand, for clients that do what no HTTP library would: leave in the middle."""

import base64
import json

from tests.app.running_service import PATH

CHAT = "/v1/chat/completions"
# Every way of asking: path, and whether the answer is a stream.
WAYS = {
    "summary": (PATH, False),
    "summary stream": (PATH, True),
    "chat": (CHAT, False),
    "chat stream": (CHAT, True),
}


def request(way: str, audio: bytes, model: str = "test-model") -> tuple[bytes, bytes]:
    """A request's head, to its empty line, and its body."""
    path, stream = WAYS[way]
    if path == PATH:
        line, kind, body = f"{path}?stream={str(stream).lower()}", "application/octet-stream", audio
    else:
        sound = {"data": base64.b64encode(audio).decode(), "format": "wav"}
        messages = [{"role": "user", "content": [{"type": "input_audio", "input_audio": sound}]}]
        asked = {"model": model, "messages": messages, "stream": stream}
        line, kind, body = path, "application/json", json.dumps(asked).encode()
    head = f"POST {line} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode(), body
