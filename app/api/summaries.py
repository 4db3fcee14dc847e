"""`POST /v1/audio/summaries`: the route. What a summary is and how it is made is in `app.summarize`."""

import json
import time
import uuid

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.admission import Place
from app.api.auth import Credentials
from app.api.connection import while_connected
from app.api.entrance import Entrance, check_model, enter, fetched
from app.api.errors import responses
from app.api.fields import SummaryOptions, parse_fields
from app.api.openapi import other_content, query_parameters, request_body
from app.api.protocol import DeltaEvent, ProgressEvent, SummaryResponse, server_timing, summary_response
from app.api.sse import EventStream, Say
from app.api.upload import Upload, is_form, read_nothing, read_upload
from app.audio.sniff import HEAD_BYTES, sniff
from app.job import Delta, Form, Job, Stage, Summary
from app.prompts import Style
from app.service import Service

router = APIRouter(tags=["summaries"])

MEDIA_TYPES = {"text": "text/plain", "markdown": "text/markdown"}


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
    entrance, options = await enter(request, credentials, _read)
    if options.stream:
        return _stream(entrance)
    summary = await while_connected(request.receive, entrance.work(lambda _: None))
    if options.response_format in MEDIA_TYPES:
        return _bare(summary, entrance.service, MEDIA_TYPES[options.response_format])
    answer = summary_response(summary, entrance.service.model, entrance.created)
    return JSONResponse(answer.model_dump(mode="json"), headers=server_timing(summary))


async def _read(request: Request, service: Service, place: Place) -> tuple[Job, SummaryOptions]:
    """Everything that can be refused before there is an answer to open: fields, size, kind of content."""
    began = time.perf_counter()
    query = request.query_params.multi_items()
    fields = None if is_form(request) else _fields(query, service)
    if fields and fields[1].url:
        await read_nothing(request, service.settings)
        upload = Upload(None, [])
    else:
        upload = await read_upload(request, service.settings, place.hold)
    style, options, form = fields or _fields([*query, *upload.fields], service)
    audio = upload.audio or await fetched(request, service, place, options.url or "")
    audio.seek(0)
    sniff(audio.read(HEAD_BYTES))
    job = Job(
        id=f"sum-{uuid.uuid4().hex}",
        audio=audio,
        style=style,
        form=form,
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        seed=options.seed,
        began=began,
        received_s=time.perf_counter() - began,
        on_decoded=place.release,
    )
    return job, options


def _fields(pairs: list[tuple[str, str]], service: Service) -> tuple[Style, SummaryOptions, Form]:
    style, options = parse_fields(pairs)
    service.summarizer.check(options.max_tokens)
    form = options.form
    check_model(service, options.model)
    return style, options, form


def _bare(summary: Summary, service: Service, media_type: str) -> Response:
    """The summary alone; what a reader should know of it in headers, in ASCII."""
    headers = {
        "x-summary-id": summary.job.id,
        "x-summary-model": service.model.id,
        "x-summary-kind": service.model.kind,
        "x-summary-complete": str(summary.complete).lower(),
        "x-summary-finish-reason": summary.finish_reason,
        "x-summary-warnings": json.dumps(summary.warnings),
        **server_timing(summary),
    }
    return Response(summary.text, media_type=media_type, headers=headers)


def _stream(entrance: Entrance) -> EventStream:
    about = {"id": entrance.job.id, "created": entrance.created, "model": entrance.service.model.id}

    async def tell(say: Say) -> None:
        def emit(event: Stage | Delta) -> None:
            if isinstance(event, Delta):
                say(DeltaEvent(**about, delta=event.text))
            else:
                say(ProgressEvent(**about, stage=event.stage, done=event.done, of=event.of))

        emit(Stage("received"))
        summary = await entrance.work(emit)
        say(summary_response(summary, entrance.service.model, entrance.created, done=True))

    return EventStream(tell, entrance.service.settings.timeouts.keep_alive_seconds)
