"""A real HTTP server on the loopback that tests take for a host on the internet, and the way there.

Loopback is never fetched from and no setting changes that. So a test hands the fetcher names of its own (`Names`) and
a network (`Internet`) in which every address is this server. What the fetcher asked to be connected to is on record.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, BinaryIO

import httpcore

from app.fetch.connector import HttpConnector
from app.fetch.fetcher import Fetcher
from app.settings import Settings
from tests.app.running_service import settings_for

HOST = "audio.example.org"
PUBLIC, PUBLIC_TOO, PUBLIC_6 = "93.184.215.14", "93.184.215.15", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
OPEN = {"enabled": True, "hosts": "*", "plain_http": True, "ports": "80,443,8080"}

Reply = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def reply(body: bytes = b"", status: str = "200 OK", **headers: str | None) -> bytes:
    """A whole answer. headers: `content_type="audio/wav"`; None leaves out what would be there."""
    given = {"content_length": str(len(body)), "connection": "close", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


def redirect(to: str, status: str = "302 Found") -> bytes:
    """A redirect. Its body is not for anyone to see."""
    return reply(b"a secret of the origin", status, location=to)


def full(**_: Any) -> BinaryIO:
    """A file on a disk that is full, instead of `tempfile.TemporaryFile`."""
    return open("/dev/full", "r+b")


class Names:
    """A resolver: each name's answers in order, of which the last is repeated. An exception is raised."""

    def __init__(self, **answers: Sequence[Sequence[str] | Exception]) -> None:
        self.answers = {name.replace("__", "-").replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []
        self.delay_s = 0.0

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        await asyncio.sleep(self.delay_s)
        given = self.answers.get(host)
        if given is None:
            raise OSError(f"no such name: {host}")
        answer = given.pop(0) if len(given) > 1 else given[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Internet(httpcore.AsyncNetworkBackend):
    """A network in which every address but the dead ones is the server on `port`."""

    def __init__(self, port: int, dead: Iterable[str] = ()) -> None:
        self.port = port
        self.dead = {ip_address(address) for address in dead}
        self.asked: list[tuple[str, int]] = []

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, *rest: Any) -> Any:  # noqa: ASYNC109
        self.asked.append((host, port))
        if ip_address(host) in self.dead:
            raise httpcore.ConnectError("dead")
        return await httpcore.AnyIOBackend().connect_tcp("127.0.0.1", self.port, timeout)


@dataclass
class Origin:
    """The server: what it answers by path (or with anything to everything), and the requests it got."""

    port: int = 0
    replies: dict[str, Reply] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    left: int = 0  # clients that closed while they were being answered
    open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.requests.append(head)
            answer = self.replies.get(head.split(" ")[1]) or reply(status="404 Not Found")
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left += 1
        finally:
            self.open -= 1
            writer.close()

    def headers(self, number: int = -1) -> dict[str, str]:
        """A request's headers, names in lower case."""
        lines = self.requests[number].split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}


@asynccontextmanager
async def origin(tls: ssl.SSLContext | None = None, **replies: Reply) -> AsyncIterator[Origin]:
    """A running server; `wav=…` is what it answers to `/wav`."""
    served = Origin(replies={f"/{name}": answer for name, answer in replies.items()})
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()


@dataclass
class Way:
    """A fetcher with its names and its network."""

    names: Names
    internet: Internet
    tls: ssl.SSLContext | None = None
    sections: dict[str, Any] = field(default_factory=dict)

    def fetcher(self, settings: Settings | None = None) -> Fetcher:
        """By these settings, or those of `sections` with all hosts, ports and schemes allowed."""
        if settings is None:
            settings = settings_for(**{**self.sections, "fetch": {**OPEN, **self.sections.get("fetch", {})}})
        return Fetcher(settings, self.names, HttpConnector(self.internet, self.tls))

    async def fetch(self, url: str, hold: Callable[[int], None] = lambda _: None) -> bytes:
        """What is at a URL."""
        with await self.fetcher().fetch(url, hold) as file:
            file.seek(0)
            return file.read()


def way(
    served: Origin, *, names: Names | None = None, dead: Iterable[str] = (), tls: Any = None, **sections: Any
) -> Way:
    """The way to a server under `HOST`, an address of which is public."""
    return Way(names or Names(audio_example_org=[[PUBLIC]]), Internet(served.port, dead), tls, sections)
