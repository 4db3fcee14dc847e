"""The life of one request for a summary: everything that it holds, and the release of it, exactly once.

`open_request_scope` is a FastAPI dependency with `yield`. It counts the request, authenticates the caller and opens an
upload; the route then reads the request, and `RequestScope.admit` gives it its slot. What the request holds (model,
slot, file, place in the metrics) is released by whichever of these comes first:

- `AdmittedRequest.summarize`, when the work ends, however it ends. A client that reads its answer slowly then holds no
  slot. An error inside a stream is counted here, because it never leaves the response.
- `RequestScope.close`, which a route calls before it answers without work.
- The end of the dependency, after an error or if the client leaves. FastAPI passes the route's exception to the
  dependency before it sends the error, and ends the dependency after the response was sent (since version 0.118,
  https://fastapi.tiangolo.com/tutorial/dependencies/dependencies-with-yield/). That is too late for the other two
  cases, since a response is only sent as fast as the client reads it.

Knows nothing about the shape of requests and answers.
"""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from fastapi import Request
from starlette.requests import ClientDisconnect

from app.admission.controller import RequestSlot
from app.admission.uploads import Upload
from app.api.app_state import app_state
from app.api.auth import Caller, Credentials, authenticate_and_charge
from app.api.disconnect import run_while_connected
from app.keys.authenticator import AUDIO_QUOTA, Authenticator
from app.metrics import RequestMetrics
from app.models.resolver import ResolvedModel
from app.service import Service
from app.summarize.request import Emit, OutputFormat, Summary, SummaryEvent, SummaryRequest
from app.telemetry.request_record import note_request


def _ignore_event(_: SummaryEvent) -> None:
    """Ignore the event, because the answer is sent as a whole."""


@dataclass(frozen=True)
class AdmittedRequest:
    """A request that has its slot and its model, and can be worked on. created: Unix time, in seconds."""

    summary_request: SummaryRequest
    resolved_model: ResolvedModel
    created: int
    request_metrics: RequestMetrics
    resources: ExitStack

    async def summarize(self, emit: Emit = _ignore_event) -> Summary:
        """Make the summary, and release what the request holds, however that ends. It can be called once.

        Raises: ServiceError if there is no summary; it is counted as the request's error.
        """
        with self.resources:
            summary = await self.resolved_model.summarizer.summarize(self.summary_request, emit)
            reason = summary.finish_reason
            self.request_metrics.outcome = reason if reason in ("no_speech", "not_understood") else "ok"
            return summary


@dataclass(frozen=True)
class RequestScope:
    """An authenticated request that is being read. slot: its upload, and after `admit` its place in the queue."""

    service: Service
    keys: Authenticator
    caller: Caller
    slot: RequestSlot
    model_seed: str
    request_metrics: RequestMetrics
    resources: ExitStack

    async def resolve_model(self, name: str | None) -> ResolvedModel:
        """Return the model that the request asks for, and keep it loaded until the request ends. It can be called once.

        Raises: ModelNotFound (404) if there is no such model, Unavailable (503) if it is not ready.
        """
        resolved_model = await self.service.models.resolve(name, self.model_seed)
        _hold_model(resolved_model, self.request_metrics, self.resources)
        return resolved_model

    def admit(self, summary_request: SummaryRequest, resolved_model: ResolvedModel) -> AdmittedRequest:
        """End the upload and take the slot for a request that has arrived. resolved_model: as `resolve_model` gave it.

        Raises: TooManyRequests (429) or Unavailable (503) if the queue filled up during the upload.
        """
        # Decoding closes the file, but a request that is never decoded would hold it until its exception is collected.
        self.resources.callback(summary_request.audio.close)
        self.slot.acquire()
        summary_request.adapter = resolved_model.adapter
        summary_request.caller, summary_request.owner = self.caller.name, self.caller.owner
        summary_request.on_decoded = self._count_decoded_audio
        summary_request.find_vocabulary = partial(self.keys.vocabularies.get, self.caller.owner)
        return AdmittedRequest(summary_request, resolved_model, int(time.time()), self.request_metrics, self.resources)

    def close(self) -> None:
        """Release what the request holds. Calling it again, or after `AdmittedRequest.summarize`, has no effect."""
        self.resources.close()

    async def _count_decoded_audio(self, seconds: float) -> None:
        """Release the file's bytes, and count the recording's seconds.

        Raises: Unavailable (503) if the queue is full, TooManyRequests (429) if the key's quota is used up.
        """
        self.slot.release_bytes()
        self.slot.reserve_audio(seconds)
        note_request(audio_seconds=seconds)
        await self.keys.take_quota(self.caller.key, AUDIO_QUOTA, seconds)


async def open_request_scope(request: Request, credentials: Credentials) -> AsyncIterator[RequestScope]:
    """Dependency of the routes that answer with a summary: the request's scope, closed at the latest when it ends.

    Raises: Unauthorized (401), Forbidden (403), TooManyRequests (429) or Unavailable (503) before anything of the
        request's body is read.
    """
    state = app_state(request)
    service = state.service
    with ExitStack() as resources:
        request_metrics = _count_request(service.default_model.kind, resources)
        caller = await authenticate_and_charge(request, credentials, "summaries")
        await service.models.check_any_ready()
        slot = resources.enter_context(service.admission.request_slot(caller.name))
        yield RequestScope(service, state.keys, caller, slot, model_seed(request, caller), request_metrics, resources)


@contextmanager
def background_request(
    service: Service, resolved_model: ResolvedModel, keys: Authenticator, summary_request: SummaryRequest, created: int
) -> Iterator[AdmittedRequest]:
    """Admit work that nobody waits for. It is counted like a request, but takes no slot away from requests."""

    async def count_decoded_audio(seconds: float) -> None:
        note_request(audio_seconds=seconds)
        resources.enter_context(service.admission.count_background_audio(seconds))
        await keys.take_quota(await keys.find_by_owner(summary_request.owner), AUDIO_QUOTA, seconds)

    summary_request.adapter = resolved_model.adapter
    summary_request.on_decoded = count_decoded_audio
    summary_request.find_vocabulary = partial(keys.vocabularies.get, summary_request.owner)
    with ExitStack() as resources:
        request_metrics = _count_request(resolved_model.model.info.kind, resources)
        _hold_model(resolved_model, request_metrics, resources)
        yield AdmittedRequest(summary_request, resolved_model, created, request_metrics, resources)


def model_seed(request: Request, caller: Caller) -> str:
    """Return the seed by which one of several versions is drawn: a key always gets the same version, while a caller
    without a key gets a version per request.
    """
    return caller.owner or str(request.state.request_id)


async def fetch_recording(request: Request, service: Service, upload: Upload, url: str) -> BinaryIO:
    """Return the recording at a URL, in a file, and count it like an upload. The request's body must have been read.

    Raises: ServiceError if it cannot be fetched, ClientDisconnect if the client leaves meanwhile.
    """
    return await run_while_connected(request.receive, service.fetcher.fetch(url, upload.add_bytes))


async def check_schema(request: Request, service: Service, output_format: OutputFormat) -> None:
    """Check that the caller's own JSON Schema, if there is one, can be enforced. The request's body must have been
    read.

    Raises: InvalidRequest (400) if it cannot, Unavailable (503) if the check takes too long, ClientDisconnect if the
        client leaves meanwhile.
    """
    if output_format.schema is not None and output_format.param:
        await run_while_connected(
            request.receive, service.schema_workers.check_schema(output_format.schema, output_format.param)
        )


def _count_request(kind: str, resources: ExitStack) -> RequestMetrics:
    """Count a request as long as it holds its resources, and note for the log how it ended. kind: of its model."""
    request_metrics = RequestMetrics(kind, disconnect_error=ClientDisconnect)

    def note_end() -> None:
        note_request(outcome=request_metrics.outcome, model=request_metrics.model, error=request_metrics.error_code)

    resources.callback(note_end)  # is called after the metrics have their outcome
    return resources.enter_context(request_metrics)


def _hold_model(resolved_model: ResolvedModel, request_metrics: RequestMetrics, resources: ExitStack) -> None:
    """Count a request in its model, which stays loaded until the request ends, and name the model in the metrics."""
    resources.enter_context(resolved_model.model.count_request(resolved_model.adapter))
    request_metrics.kind, request_metrics.model = resolved_model.model.info.kind, resolved_model.id
