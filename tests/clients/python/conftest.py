"""Both clients behind one face, so that each test runs with both, and a real service in a thread."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from speechsum_client import (
    AsyncClient,
    AsyncJob,
    Client,
    async_client,
    async_jobs,
    async_transport,
    client,
    jobs,
    transport,
)

from tests.app.running_service import Site
from tests.checks.threaded_service import serve_in_thread

Connect = Callable[..., Any]
KEYS = ["anna", "bob"]


class Blocking:
    """An `AsyncClient` or `AsyncJob` whose methods wait, and whose asynchronous generators are plain ones."""

    def __init__(self, target: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.target = target
        self.loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.target, name)
        if inspect.iscoroutinefunction(value):
            return lambda *positional, **named: self._wrap(self.loop.run_until_complete(value(*positional, **named)))
        if inspect.isasyncgenfunction(value):
            return lambda *positional, **named: self._iterate(value(*positional, **named))
        return value

    def _iterate(self, generator: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._wrap(self.loop.run_until_complete(anext(generator)))
                except StopAsyncIteration:
                    return
        finally:
            self.loop.run_until_complete(generator.aclose())

    def _wrap(self, value: Any) -> Any:
        return Blocking(value, self.loop) if isinstance(value, AsyncJob) else value


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes clients: `connect(base_url, …)`. They are closed when the test ends."""
    made: list[Any] = []
    loop = asyncio.new_event_loop()

    def make(*positional: Any, **named: Any) -> Any:
        kind = Client if request.param == "sync" else AsyncClient
        one = kind(*positional, **named)
        made.append(one if request.param == "sync" else Blocking(one, loop))
        return made[-1]

    yield make
    for one in made:
        one.close()
    loop.close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the clients would have waited before they sent a request again; they do not wait at all."""
    seconds: list[float] = []

    async def note(wait_s: float) -> None:
        seconds.append(wait_s)

    for module in (client, jobs, transport):
        monkeypatch.setattr(module, "_sleep", seconds.append)
    for module in (async_client, async_jobs, async_transport):
        monkeypatch.setattr(module, "_sleep", note)
    return seconds


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A real service with the scripted engine, and with keys, because jobs are listed for a key only."""
    with serve_in_thread(auth={"keys": KEYS}) as running:
        yield running


@pytest.fixture
def service(site: Site, connect: Connect) -> Any:
    """A client of that service."""
    return connect(f"http://127.0.0.1:{site.port}", KEYS[0])
