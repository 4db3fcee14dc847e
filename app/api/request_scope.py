"""How every request for a summary comes in: counted, known, given a place and a model, which it keeps to its end; and
what it leaves behind it gives back.

Knows nothing about the shape of requests and answers.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, TypeVar

from fastapi import Request
from fastapi.security import HTTPAuthorizationCredentials
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.admission.controller import Place
from app.admission.uploads import Upload
from app.api.auth import Caller, admitted
from app.api.disconnect import while_connected
from app.keys.authenticator import AUDIO, Key, Keys
from app.metrics import RequestWatch
from app.models.manager import Pick
from app.service import Service
from app.summarize.request import Emit, Form, Job, Summary

T = TypeVar("T")


@dataclass(frozen=True)
class Entrance:
    """A request that has come in. pick: its model. created: Unix time."""

    service: Service
    pick: Pick
    job: Job
    created: int
    watch: RequestWatch
    held: ExitStack
    caller: Caller

    async def work(self, emit: Emit) -> Summary:
        """Make the summary, and give back what the request held, however it ends. To be called once."""
        with self.held:
            summary = await self.pick.summarizer.summarize(self.job, emit)
            reason = summary.finish_reason
            self.watch.outcome = reason if reason in ("no_speech", "not_understood") else "ok"
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


@dataclass
class Arrival:
    """A request that is being read: the place it will have, and its model once it is known which one it asks for."""

    service: Service
    place: Place
    seed: str
    watch: RequestWatch
    held: ExitStack
    pick: Pick | None = None

    async def take(self, asked: str | None) -> Pick:
        """The model for this request, which does not end before it. To be called once. Raises `ModelNotFound` (404),
        `Unavailable` (503).
        """
        self.pick = await self.service.models.resolve(asked, self.seed)
        _keep(self.pick, self.watch, self.held)
        return self.pick


async def enter(
    request: Request,
    credentials: HTTPAuthorizationCredentials | None,
    read: Callable[[Request, Arrival], Awaitable[tuple[Job, T]]],
) -> tuple[Entrance, T]:
    """Let a request in whose job `read` reads off the wire, and takes the model for; with it comes what else was asked.
    Raises ServiceError, ClientDisconnect.
    """
    service: Service = request.app.state.service
    with ExitStack() as held:
        watch = held.enter_context(RequestWatch(service.model.kind, gone=ClientDisconnect))
        caller = await admitted(request, credentials, "summaries")
        await service.models.check_any()
        place = held.enter_context(service.admission.place(caller.name))
        arrival = Arrival(service, place, seed_of(request, caller), watch, held)
        job, asked = await read(request, arrival)
        assert arrival.pick is not None, "a request that is read has a model"
        held.callback(job.audio.close)  # where it was not decoded; an exception's frames would hold it for long
        place.take()
        job.adapter = arrival.pick.adapter
        job.caller, job.owner = caller.name, caller.owner
        job.decoded = partial(_decoded, request.app.state.keys, caller.key, place)
        return Entrance(service, arrival.pick, job, int(time.time()), watch, held.pop_all(), caller), asked


async def _decoded(keys: Keys, key: Key | None, place: Place, seconds: float) -> None:
    """The file is not needed any more, and how long the recording is counts. Raises Unavailable (503), TooManyRequests
    (429).
    """
    place.release()
    place.admit(seconds)
    await keys.take(key, AUDIO, seconds)


def seed_of(request: Request, caller: Caller) -> str:
    """By what a request's model is drawn where several are meant: a key always gets the same one, others get one a
    request.
    """
    return caller.owner or str(request.state.request_id)


async def fetched(request: Request, service: Service, upload: Upload, url: str) -> BinaryIO:
    """The recording at a URL, counted like one that was sent; the request's body must have been read. Raises
    ServiceError, and ClientDisconnect if the client leaves meanwhile.
    """
    return await while_connected(request.receive, service.fetcher.fetch(url, upload.hold))


async def check_schema(receive: Receive, service: Service, form: Form) -> None:
    """Refuse a caller's own schema that could not be enforced; the request's body must have been read. Raises
    InvalidRequest (400), Unavailable (503), and ClientDisconnect if the client leaves meanwhile.
    """
    if form.schema is not None and form.param:
        await while_connected(receive, service.schemas.check(form.schema, form.param))


def unattended(service: Service, pick: Pick, keys: Keys, job: Job, created: int) -> Entrance:
    """Work that nobody waits for: counted as a request is, but it takes no place from those."""

    async def decoded(seconds: float) -> None:
        await keys.take(await keys.of(job.owner), AUDIO, seconds)

    job.decoded = decoded
    with ExitStack() as held:
        watch = held.enter_context(RequestWatch(pick.model.served.kind, gone=ClientDisconnect))
        _keep(pick, watch, held)
        job.adapter = pick.adapter
        return Entrance(service, pick, job, created, watch, held.pop_all(), Caller(job.owner, job.owner))


def _keep(pick: Pick, watch: RequestWatch, held: ExitStack) -> None:
    held.enter_context(pick.model.entered(pick.adapter))
    watch.kind, watch.model = pick.model.served.kind, pick.id
