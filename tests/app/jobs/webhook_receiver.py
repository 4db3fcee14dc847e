"""A server that webhooks are sent to: it writes down what comes, and answers as a test wants."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.app.running_service import until
from tests.quick_server import QuickServer

SECRET = "whsec_" + base64.b64encode(b"a secret of 32 bytes in all, yes").decode()  # for webhooks to be signed with


@dataclass(frozen=True)
class Got:
    """One delivery as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def job(self) -> str:
        """The id of the job that it tells of."""
        return str(json.loads(self.body)["data"]["id"])


@dataclass
class Receiver:
    """What came, in order. statuses: of the next answers; then it is 200."""

    url: str
    statuses: list[int]
    got: list[Got] = field(default_factory=list)
    delay_s: float = 0.0

    @property
    def port(self) -> int:
        """Where it listens."""
        return httpx.URL(self.url).port or 80


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    """A receiver on a free port of the loopback until the block ends."""
    receiver = Receiver("", list(statuses))

    async def take(request: Request) -> Response:
        receiver.got.append(Got(request.url.path, dict(request.headers), await request.body()))
        await asyncio.sleep(receiver.delay_s)
        return Response(status_code=receiver.statuses.pop(0) if receiver.statuses else 200, headers={"location": "/x"})

    app = Starlette(routes=[Route("/{path:path}", take, methods=["POST"])])
    server = QuickServer(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=0))
    running = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    receiver.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.should_exit = True
        await running
