"""`POST /v1/audio/summaries`: the route. What a summary is and how it is made is in `app.summarize`."""

import json
import logging
import time
import uuid
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any

from fastapi import APIRouter, Request
from fastapi.security import HTTPAuthorizationCredentials
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from app.admission import Place
from app.api.auth import Credentials, client
from app.api.connection import while_connected
from app.api.errors import responses
from app.api.fields import SummaryOptions, parse_fields
from app.api.openapi import other_content, query_parameters, request_body
from app.api.protocol import DeltaEvent, ProgressEvent, SummaryResponse, summary_response
from app.api.sse import EventStream, Say
from app.api.upload import is_form, read_upload
from app.audio.sniff import HEAD_BYTES, sniff
from app.errors import ModelNotFound
from app.job import Delta, Emit, Job, Stage, Summary
from app.metrics import RequestWatch
from app.prompts import Style
from app.service import Service
from app.settings import setting_name

log = logging.getLogger(__name__)
router = APIRouter(tags=["summaries"])

MEDIA_TYPES = {"text": "text/plain", "markdown": "text/markdown"}
Work = Callable[[Emit], Coroutine[Any, Any, Summary]]


@router.post(
    "/v1/audio/summaries",
    summary="Summarize a recording",
    response_model=SummaryResponse,
    responses={
        200: {"description": "The summary; empty where nobody speaks.", "content": other_content()},
        **responses(400, 401, 413, 404, 415, 422, 429, 500, 503),
    },
    openapi_extra={"requestBody": request_body(), "parameters": query_parameters()},
)
async def create_summary(request: Request, credentials: Credentials) -> Response:
    """The recording's summary, as JSON or, with `stream=true`, as server-sent events."""
    service: Service = request.app.state.service
    with ExitStack() as held:
        watch = held.enter_context(RequestWatch(service.model.kind, gone=ClientDisconnect))
        job, options = await _receive(request, credentials, service, held)
        created = int(time.time())
        resources = held.pop_all()

    async def work(emit: Emit) -> Summary:
        with resources:
            summary = await service.summarizer.summarize(job, emit)
            watch.outcome = "no_speech" if summary.finish_reason == "no_speech" else "ok"
            return summary

    if options.stream:
        return _stream(work, job.id, created, service)
    summary = await while_connected(request.receive, work(lambda _: None))
    if options.response_format in MEDIA_TYPES:
        return _bare(summary, service, MEDIA_TYPES[options.response_format])
    return JSONResponse(summary_response(summary, service.model, created).model_dump(mode="json"))


async def _receive(
    request: Request, credentials: HTTPAuthorizationCredentials | None, service: Service, held: ExitStack
) -> tuple[Job, SummaryOptions]:
    """Everything that can be refused before there is an answer to open: caller, room, fields, size, kind of content."""
    began = time.perf_counter()
    caller = client(request, credentials)
    await service.check_ready()
    query = request.query_params.multi_items()
    fields = None if is_form(request) else _fields(query, service)
    place: Place = held.enter_context(service.admission.place(caller))
    upload = await read_upload(request, service.settings, place.hold)
    style, options = fields or _fields([*query, *upload.fields], service)
    upload.audio.seek(0)
    sniff(upload.audio.read(HEAD_BYTES))
    job = Job(
        id=f"sum-{uuid.uuid4().hex}",
        audio=upload.audio,
        style=style,
        form=options.form,
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        seed=options.seed,
        began=began,
        received_s=time.perf_counter() - began,
        on_decoded=place.release,
    )
    return job, options


def _fields(pairs: list[tuple[str, str]], service: Service) -> tuple[Style, SummaryOptions]:
    style, options = parse_fields(pairs)
    service.summarizer.check(options.max_tokens)
    _ = options.form  # a schema that is none is refused before the recording is read
    if options.model and not service.model.answers_to(options.model):
        known = any(model.answers_to(options.model) for model in service.models)
        raise ModelNotFound(
            f"{options.model} is {'in the registry but not loaded' if known else 'not in the registry'}; this service "
            f"serves {service.model.id}. The setting is {setting_name('model')}.",
            code="model_not_loaded" if known else "model_not_found",
            param="model",
        )
    return style, options


def _bare(summary: Summary, service: Service, media_type: str) -> Response:
    """The summary alone; what a reader should know of it in headers, in ASCII."""
    headers = {
        "x-summary-id": summary.job.id,
        "x-summary-model": service.model.id,
        "x-summary-kind": service.model.kind,
        "x-summary-complete": str(summary.complete).lower(),
        "x-summary-finish-reason": summary.finish_reason,
        "x-summary-warnings": json.dumps(summary.warnings),
    }
    return Response(summary.text, media_type=media_type, headers=headers)


def _stream(work: Work, summary_id: str, created: int, service: Service) -> EventStream:
    model = service.model

    async def tell(say: Say) -> None:
        def emit(event: Stage | Delta) -> None:
            if isinstance(event, Delta):
                say(DeltaEvent(id=summary_id, created=created, model=model.id, delta=event.text))
            else:
                at = {"id": summary_id, "created": created, "model": model.id}
                say(ProgressEvent(**at, stage=event.stage, done=event.done, of=event.of))

        emit(Stage("received"))
        say(summary_response(await work(emit), model, created, done=True))

    return EventStream(tell, service.settings.timeouts.keep_alive_seconds)
