"""What a request holds is released when its work ends, and not when the client has read the answer."""

import asyncio
from typing import Any

import pytest

from tests.app.raw_http import WAYS, request
from tests.app.running_service import Site, value, wav

KEY = "1c8f7a52-2b0f-4f0e-9c39-35c6b1f0a5d5"
AUDIO = wav()


class SlowClient:
    """Sends a request to the application, and receives nothing of the answer before `reads` is set."""

    def __init__(self, site: Site, way: str, audio: bytes, key: str = "") -> None:
        head, self.body = request(way, audio)
        lines = head.decode().split("\r\n")
        path, _, query = lines[0].split(" ")[1].partition("?")
        headers = [line.split(": ") for line in lines[1:] if line]
        if key:
            headers.append(["idempotency-key", key])
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), text.encode()) for name, text in headers],
            "client": ("127.0.0.1", 1),
            "state": {},
        }
        self.reads = asyncio.Event()
        self.is_answered = asyncio.Event()
        self.status = 0
        self.received = b""
        self.finished = asyncio.create_task(site.app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self.body is None:
            await asyncio.Event().wait()
        body, self.body = self.body, None  # type: ignore[assignment]
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: Any) -> None:
        self.is_answered.set()
        await self.reads.wait()
        self.status = message.get("status", self.status)
        self.received += message.get("body", b"")


def requests_counted() -> float:
    return value("speechsum_requests_total", outcome="ok")


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_reads_slowly_holds_nothing(site: Site, way: str) -> None:
    counted = requests_counted()
    client = SlowClient(site, way, AUDIO)
    await client.is_answered.wait()
    await site.until_idle()
    assert requests_counted() == counted + 1
    client.reads.set()
    await client.finished
    assert client.status == 200
    assert b"scripted" in client.received
    assert requests_counted() == counted + 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_reads_a_repeated_answer_slowly_holds_nothing(site: Site, way: str) -> None:
    first = SlowClient(site, way, AUDIO, KEY)
    first.reads.set()
    await first.finished
    counted = requests_counted()
    again = SlowClient(site, way, AUDIO, KEY)
    await again.is_answered.wait()
    await site.until_idle()
    assert requests_counted() == counted + 1
    again.reads.set()
    await again.finished
    assert again.received == first.received
    assert requests_counted() == counted + 1
