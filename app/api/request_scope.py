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

from app.admission.controller import RequestSlot
from app.admission.uploads import Upload
from app.api.auth import Caller, authenticate_and_charge
from app.api.disconnect import run_while_connected
from app.keys.authenticator import AUDIO_QUOTA, Authenticator, Key
from app.metrics import RequestMetrics
from app.models.resolver import ResolvedModel
from app.service import Service
from app.summarize.request import Emit, OutputFormat, Summary, SummaryRequest

T = TypeVar("T")


@dataclass(frozen=True)
class RequestScope:
    """A request that has come in. pick: its model. created: Unix time."""

    service: Service
    resolved_model: ResolvedModel
    summary_request: SummaryRequest
    created: int
    request_metrics: RequestMetrics
    resources: ExitStack
    caller: Caller

    async def summarize(self, emit: Emit) -> Summary:
        """Make the summary, and give back what the request held, however it ends. To be called once."""
        with self.resources:
            summary = await self.resolved_model.summarizer.summarize(self.summary_request, emit)
            reason = summary.finish_reason
            self.request_metrics.outcome = reason if reason in ("no_speech", "not_understood") else "ok"
            return summary

    def close(self) -> None:
        """Give back what the request held, which is answered without work. Harmless after `work`."""
        self.resources.close()

    @contextmanager
    def close_on_error(self) -> Iterator[None]:
        """Around what happens between the entrance and `work`: an error there is counted as the request's own."""
        try:
            yield
        except BaseException as error:
            self.resources.__exit__(type(error), error, error.__traceback__)
            raise


@dataclass
class IncomingRequest:
    """A request that is being read: the place it will have, and its model once it is known which one it asks for."""

    service: Service
    slot: RequestSlot
    model_seed: str
    request_metrics: RequestMetrics
    resources: ExitStack
    resolved_model: ResolvedModel | None = None

    async def resolve_model(self, name: str | None) -> ResolvedModel:
        """The model for this request, which does not end before it. To be called once. Raises `ModelNotFound` (404),
        `Unavailable` (503).
        """
        self.resolved_model = await self.service.models.resolve(name, self.model_seed)
        _hold_model(self.resolved_model, self.request_metrics, self.resources)
        return self.resolved_model


async def open_request_scope(
    request: Request,
    credentials: HTTPAuthorizationCredentials | None,
    read_request: Callable[[Request, IncomingRequest], Awaitable[tuple[SummaryRequest, T]]],
) -> tuple[RequestScope, T]:
    """Let a request in whose job `read` reads off the wire, and takes the model for; with it comes what else was asked.
    Raises ServiceError, ClientDisconnect.
    """
    service: Service = request.app.state.service
    with ExitStack() as resources:
        request_metrics = resources.enter_context(
            RequestMetrics(service.default_model.kind, disconnect_error=ClientDisconnect)
        )
        caller = await authenticate_and_charge(request, credentials, "summaries")
        await service.models.check_any_ready()
        slot = resources.enter_context(service.admission.request_slot(caller.name))
        incoming = IncomingRequest(service, slot, model_seed(request, caller), request_metrics, resources)
        summary_request, details = await read_request(request, incoming)
        assert incoming.resolved_model is not None, "a request that is read has a model"
        resources.callback(
            summary_request.audio.close
        )  # where it was not decoded; an exception's frames would hold it for long
        slot.acquire()
        summary_request.adapter = incoming.resolved_model.adapter
        summary_request.caller, summary_request.owner = caller.name, caller.owner
        summary_request.on_decoded = partial(_count_decoded_audio, request.app.state.keys, caller.key, slot)
        return RequestScope(
            service,
            incoming.resolved_model,
            summary_request,
            int(time.time()),
            request_metrics,
            resources.pop_all(),
            caller,
        ), details


async def _count_decoded_audio(keys: Authenticator, key: Key | None, slot: RequestSlot, seconds: float) -> None:
    """The file is not needed any more, and how long the recording is counts. Raises Unavailable (503), TooManyRequests
    (429).
    """
    slot.release_bytes()
    slot.reserve_audio(seconds)
    await keys.take_quota(key, AUDIO_QUOTA, seconds)


def model_seed(request: Request, caller: Caller) -> str:
    """By what a request's model is drawn where several are meant: a key always gets the same one, others get one a
    request.
    """
    return caller.owner or str(request.state.request_id)


async def fetch_recording(request: Request, service: Service, upload: Upload, url: str) -> BinaryIO:
    """The recording at a URL, counted like one that was sent; the request's body must have been read. Raises
    ServiceError, and ClientDisconnect if the client leaves meanwhile.
    """
    return await run_while_connected(request.receive, service.fetcher.fetch(url, upload.add_bytes))


async def check_schema(receive: Receive, service: Service, output_format: OutputFormat) -> None:
    """Refuse a caller's own schema that could not be enforced; the request's body must have been read. Raises
    InvalidRequest (400), Unavailable (503), and ClientDisconnect if the client leaves meanwhile.
    """
    if output_format.schema is not None and output_format.param:
        await run_while_connected(
            receive, service.schema_workers.check_schema(output_format.schema, output_format.param)
        )


def background_scope(
    service: Service, resolved_model: ResolvedModel, keys: Authenticator, summary_request: SummaryRequest, created: int
) -> RequestScope:
    """Work that nobody waits for: counted as a request is, but it takes no place from those."""

    async def count_audio(seconds: float) -> None:
        await keys.take_quota(await keys.find_by_owner(summary_request.owner), AUDIO_QUOTA, seconds)

    summary_request.on_decoded = count_audio
    with ExitStack() as resources:
        request_metrics = resources.enter_context(
            RequestMetrics(resolved_model.model.info.kind, disconnect_error=ClientDisconnect)
        )
        _hold_model(resolved_model, request_metrics, resources)
        summary_request.adapter = resolved_model.adapter
        return RequestScope(
            service,
            resolved_model,
            summary_request,
            created,
            request_metrics,
            resources.pop_all(),
            Caller(summary_request.owner, summary_request.owner),
        )


def _hold_model(resolved_model: ResolvedModel, request_metrics: RequestMetrics, resources: ExitStack) -> None:
    resources.enter_context(resolved_model.model.count_request(resolved_model.adapter))
    request_metrics.kind, request_metrics.model = resolved_model.model.info.kind, resolved_model.id
