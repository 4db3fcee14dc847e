"""How every request for a summary comes in: counted, known, given a place; and what it leaves behind it gives back.

Knows nothing about the shape of requests and answers.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from fastapi import Request
from fastapi.security import HTTPAuthorizationCredentials
from starlette.requests import ClientDisconnect

from app.admission import Place
from app.api.auth import client
from app.api.connection import while_connected
from app.errors import ModelNotFound
from app.job import Emit, Job, Summary
from app.metrics import RequestWatch
from app.service import Service
from app.settings import setting_name

T = TypeVar("T")


@dataclass(frozen=True)
class Entrance:
    """A request that has come in. created: Unix time."""

    service: Service
    job: Job
    created: int
    watch: RequestWatch
    held: ExitStack

    async def work(self, emit: Emit) -> Summary:
        """Make the summary, and give back what the request held, however it ends. To be called once."""
        with self.held:
            summary = await self.service.summarizer.summarize(self.job, emit)
            self.watch.outcome = "no_speech" if summary.finish_reason == "no_speech" else "ok"
            return summary

    def leave(self) -> None:
        """Give back what the request held, which is answered without work. Harmless after `work`."""
        self.held.close()

    @contextmanager
    def left_on_error(self) -> Iterator[None]:
        """Around what happens between the entrance and `work`: an error there is counted as the request's own."""
        try:
            yield
        except BaseException as error:
            self.held.__exit__(type(error), error, error.__traceback__)
            raise


async def enter(
    request: Request,
    credentials: HTTPAuthorizationCredentials | None,
    read: Callable[[Request, Service, Place], Awaitable[tuple[Job, T]]],
) -> tuple[Entrance, T]:
    """Let a request in whose job `read` reads off the wire; with it comes what else was asked. Raises ServiceError,
    ClientDisconnect.
    """
    service: Service = request.app.state.service
    with ExitStack() as held:
        watch = held.enter_context(RequestWatch(service.model.kind, gone=ClientDisconnect))
        caller = client(request, credentials)
        await service.check_ready()
        job, asked = await read(request, service, held.enter_context(service.admission.place(caller)))
        held.callback(job.audio.close)  # where it was not decoded; an exception's frames would hold it for long
        return Entrance(service, job, int(time.time()), watch, held.pop_all()), asked


async def fetched(request: Request, service: Service, place: Place, url: str) -> BinaryIO:
    """The recording at a URL, counted like one that was sent; the request's body must have been read. Raises
    ServiceError, and ClientDisconnect if the client leaves meanwhile.
    """
    return await while_connected(request.receive, service.fetcher.fetch(url, place.hold))


def unattended(service: Service, job: Job, created: int) -> Entrance:
    """Work that nobody waits for: counted as a request is, but it takes no place from those."""
    with ExitStack() as held:
        watch = held.enter_context(RequestWatch(service.model.kind, gone=ClientDisconnect))
        return Entrance(service, job, created, watch, held.pop_all())


def check_model(service: Service, asked: str | None) -> None:
    """Refuse a model that this service does not serve. Raises ModelNotFound (404)."""
    if asked is None or service.model.answers_to(asked):
        return
    known = any(model.answers_to(asked) for model in service.models)
    raise ModelNotFound(
        f"{asked} is {'in the registry but not loaded' if known else 'not in the registry'}; this service serves "
        f"{service.model.id}. The setting is {setting_name('model')}.",
        code="model_not_loaded" if known else "model_not_found",
        param="model",
    )
