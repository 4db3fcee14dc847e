"""`POST /v1/audio/summaries`: the route. What a summary is and how it is made is in `app.summarize.pipeline`."""

import json
import time
import uuid
from collections.abc import Awaitable, Callable, Collection
from typing import Any, BinaryIO

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.admission.uploads import Upload
from app.api.auth import Credentials
from app.api.disconnect import while_connected
from app.api.error_responses import responses
from app.api.idempotency import fingerprint, given_once
from app.api.openapi import IDEMPOTENCY_KEY, bare_summaries, event_stream, query_parameters, request_body
from app.api.protocol import DeltaEvent, ErrorResponse, ProgressEvent, SummaryResponse, server_timing, summary_response
from app.api.request_scope import Arrival, Entrance, check_schema, enter, fetched
from app.api.sse import EventStream, Say
from app.api.summary_fields import SummaryOptions, parse_fields
from app.api.text_stream import TextStream, Write
from app.api.upload import is_form, read_nothing, read_upload
from app.core.audio.containers.sniff import sniff_file
from app.core.prompts import Style
from app.models.manager import Pick
from app.service import Service
from app.summarize.request import Delta, Form, Job, Stage

router = APIRouter(tags=["summaries"])

Fields = tuple[Style, SummaryOptions, Form]
Take = Callable[[str | None], Awaitable[Pick]]
MEDIA_TYPES = {"text": "text/plain", "markdown": "text/markdown"}


@router.post(
    "/v1/audio/summaries",
    summary="Summarize a recording",
    response_model=SummaryResponse,
    responses={
        200: {
            "description": "The summary; empty where nobody speaks.",
            "content": bare_summaries()
            | event_stream(
                "With `stream=true`: progress, deltas, and the answer as `audio.summary.done`, or an error.",
                ProgressEvent,
                DeltaEvent,
                SummaryResponse,
                ErrorResponse,
            ),
        },
        **responses(400, 401, 403, 408, 409, 413, 404, 415, 422, 429, 500, 503),
    },
    openapi_extra={"requestBody": request_body(), "parameters": [*query_parameters(), IDEMPOTENCY_KEY]},
)
async def create_summary(request: Request, credentials: Credentials) -> Response:
    """The recording's summary, as JSON or, with `stream=true`, as server-sent events; with `response_format` text or
    markdown as that alone, with `stream=true` as it is written.
    """
    entrance, options = await enter(request, credentials, _read)

    async def answer() -> Response:
        if options.stream:
            media_type = MEDIA_TYPES.get(options.response_format or "")
            return _text_stream(entrance, media_type) if media_type else _stream(entrance)
        summary = await while_connected(request.receive, entrance.work(lambda _: None))
        return shown(summary_response(summary, entrance.pick.model.served, entrance.created), options)

    with entrance.left_on_error():
        asked = await fingerprint(request, sent(entrance.job.audio, options), entrance.job.style, options)
        return await given_once(request, entrance.caller.owner, asked, answer, entrance.leave)


def shown(answer: SummaryResponse, options: SummaryOptions) -> Response:
    """A finished summary in the form that was asked for."""
    if options.response_format in MEDIA_TYPES:
        return _bare(answer, MEDIA_TYPES[options.response_format])
    return JSONResponse(answer.model_dump(mode="json"), headers=server_timing(answer.timings))


async def _read(request: Request, arrival: Arrival) -> tuple[Job, SummaryOptions]:
    began = time.perf_counter()
    place = arrival.place
    audio, _, fields = await read_request(request, arrival.service, place, arrival.take)
    received_s = time.perf_counter() - began
    return job_of(audio, fields, began=began, received_s=received_s), fields[1]


async def read_request(
    request: Request, service: Service, upload: Upload, take: Take, own: Collection[str] = ()
) -> tuple[BinaryIO, list[tuple[str, str]], Fields]:
    """The recording, sent or fetched; the fields as they came; the fields, typed and checked.

    take: called once, with the model that is asked for. own: fields of the route, which are no summary's; they are
    among those that came. Everything that can be refused before there is an answer to open is refused here: fields,
    model, size, kind of content, URL. Raises ServiceError, ClientDisconnect.
    """
    pairs = request.query_params.multi_items()

    async def checked() -> Fields:
        fields = typed_fields([pair for pair in pairs if pair[0] not in own])
        pick = await take(fields[1].model)
        pick.summarizer.check(fields[1].max_tokens)
        return fields

    fields = None if is_form(request) else await checked()
    audio: BinaryIO | None = None
    if fields and fields[1].url:
        await read_nothing(request, service.settings, upload)
    else:
        received = await read_upload(request, service.settings, upload)
        audio, pairs = received.audio, [*pairs, *received.fields]
    fields = fields or await checked()
    await check_schema(request.receive, service, fields[2])
    audio = audio or await fetched(request, service, upload, fields[1].url or "")
    sniff_file(audio)
    return audio, pairs, fields


def job_of(audio: BinaryIO, fields: Fields, **more: Any) -> Job:
    """The summary that the fields ask for. more: what else `Job` takes."""
    style, options, form = fields
    return Job(
        id=f"sum-{uuid.uuid4().hex}",
        audio=audio,
        style=style,
        form=form,
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        seed=options.seed,
        **more,
    )


def sent(audio: BinaryIO, options: SummaryOptions) -> BinaryIO | None:
    """The recording, if it came with the request; what is behind a URL may be another one the next time."""
    return None if options.url else audio


def typed_fields(pairs: list[tuple[str, str]]) -> Fields:
    """The fields by their types. Raises InvalidRequest (400)."""
    style, options = parse_fields(pairs)
    return style, options, options.form


def _bare(answer: SummaryResponse, media_type: str) -> Response:
    """The summary alone; what a reader should know of it in headers, in ASCII."""
    headers = _headers(answer.id, answer.model, answer.kind) | _headers_at_the_end(answer)
    return Response(answer.summary, media_type=media_type, headers=headers)


def _headers(id_: str, model: str, kind: str) -> dict[str, str]:
    return {"x-summary-id": id_, "x-summary-model": model, "x-summary-kind": kind}


def _headers_at_the_end(answer: SummaryResponse) -> dict[str, str]:
    return {
        "x-summary-complete": str(answer.complete).lower(),
        "x-summary-finish-reason": answer.finish_reason,
        "x-summary-warnings": json.dumps(answer.warnings),
        **server_timing(answer.timings),
    }


def _text_stream(entrance: Entrance, media_type: str) -> TextStream:
    served = entrance.pick.model.served

    async def work(write: Write) -> dict[str, str]:
        summary = await entrance.work(lambda event: write(event.text) if isinstance(event, Delta) else None)
        return _headers_at_the_end(summary_response(summary, served, entrance.created))

    return TextStream(work, media_type, _headers(entrance.job.id, entrance.pick.id, served.kind))


def _stream(entrance: Entrance) -> EventStream:
    about = {"id": entrance.job.id, "created": entrance.created, "model": entrance.pick.id}

    async def tell(say: Say) -> None:
        def emit(event: Stage | Delta) -> None:
            if isinstance(event, Delta):
                say(DeltaEvent(**about, delta=event.text))
            else:
                say(ProgressEvent(**about, stage=event.stage, done=event.done, of=event.of))

        emit(Stage("received"))
        summary = await entrance.work(emit)
        say(summary_response(summary, entrance.pick.model.served, entrance.created, done=True))

    return EventStream(tell, entrance.service.settings.timeouts.keep_alive_seconds)
