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
from app.api.disconnect import run_while_connected
from app.api.error_responses import error_responses
from app.api.idempotency import fingerprint, respond_once
from app.api.openapi import (
    IDEMPOTENCY_KEY,
    event_stream_content,
    query_parameters,
    text_summary_content,
    upload_request_body,
)
from app.api.protocol import DeltaEvent, ErrorResponse, ProgressEvent, SummaryResponse, server_timing, summary_response
from app.api.request_scope import IncomingRequest, RequestScope, check_schema, fetch_recording, open_request_scope
from app.api.sse import EventStreamResponse, SendEvent
from app.api.summary_fields import SummaryOptions, parse_fields
from app.api.text_stream import TextStreamResponse, WriteText
from app.api.upload import is_form, read_upload, require_empty_body
from app.core.audio.containers.sniff import sniff_file
from app.core.prompts import Style
from app.models.resolver import ResolvedModel
from app.service import Service
from app.summarize.request import OutputFormat, StageProgress, SummaryDelta, SummaryRequest

router = APIRouter(tags=["summaries"])

ParsedFields = tuple[Style, SummaryOptions, OutputFormat]
ResolveModel = Callable[[str | None], Awaitable[ResolvedModel]]
MEDIA_TYPES = {"text": "text/plain", "markdown": "text/markdown"}


@router.post(
    "/v1/audio/summaries",
    summary="Summarize a recording",
    response_model=SummaryResponse,
    responses={
        200: {
            "description": "The summary; empty where nobody speaks.",
            "content": text_summary_content()
            | event_stream_content(
                "With `stream=true`: progress, deltas, and the answer as `audio.summary.done`, or an error.",
                ProgressEvent,
                DeltaEvent,
                SummaryResponse,
                ErrorResponse,
            ),
        },
        **error_responses(400, 401, 403, 408, 409, 413, 404, 415, 422, 429, 500, 503),
    },
    openapi_extra={"requestBody": upload_request_body(), "parameters": [*query_parameters(), IDEMPOTENCY_KEY]},
)
async def create_summary(request: Request, credentials: Credentials) -> Response:
    """The recording's summary, as JSON or, with `stream=true`, as server-sent events; with `response_format` text or
    markdown as that alone, with `stream=true` as it is written.
    """
    scope, options = await open_request_scope(request, credentials, _read_summary_request)

    async def respond() -> Response:
        if options.stream:
            media_type = MEDIA_TYPES.get(options.response_format or "")
            return _summary_text_stream(scope, media_type) if media_type else _summary_event_stream(scope)
        summary = await run_while_connected(request.receive, scope.summarize(lambda _: None))
        return format_response(summary_response(summary, scope.resolved_model.model.info, scope.created), options)

    with scope.close_on_error():
        request_fingerprint = await fingerprint(
            request, uploaded_recording(scope.summary_request.audio, options), scope.summary_request.style, options
        )
        return await respond_once(request, scope.caller.owner, request_fingerprint, respond, scope.close)


def format_response(answer: SummaryResponse, options: SummaryOptions) -> Response:
    """A finished summary in the form that was asked for."""
    if options.response_format in MEDIA_TYPES:
        return _text_response(answer, MEDIA_TYPES[options.response_format])
    return JSONResponse(answer.model_dump(mode="json"), headers=server_timing(answer.timings))


async def _read_summary_request(request: Request, incoming: IncomingRequest) -> tuple[SummaryRequest, SummaryOptions]:
    started_at = time.perf_counter()
    slot = incoming.slot
    audio, _, fields = await read_recording_and_fields(request, incoming.service, slot, incoming.resolve_model)
    received_s = time.perf_counter() - started_at
    return build_summary_request(audio, fields, started_at=started_at, upload_seconds=received_s), fields[1]


async def read_recording_and_fields(
    request: Request, service: Service, upload: Upload, resolve_model: ResolveModel, route_fields: Collection[str] = ()
) -> tuple[BinaryIO, list[tuple[str, str]], ParsedFields]:
    """The recording, sent or fetched; the fields as they came; the fields, typed and checked.

    take: called once, with the model that is asked for. own: fields of the route, which are no summary's; they are
    among those that came. Everything that can be refused before there is an answer to open is refused here: fields,
    model, size, kind of content, URL. Raises ServiceError, ClientDisconnect.
    """
    pairs = request.query_params.multi_items()

    async def check_fields() -> ParsedFields:
        fields = parse_summary_fields([pair for pair in pairs if pair[0] not in route_fields])
        pick = await resolve_model(fields[1].model)
        pick.summarizer.check_max_tokens(fields[1].max_tokens)
        return fields

    fields = None if is_form(request) else await check_fields()
    audio: BinaryIO | None = None
    if fields and fields[1].url:
        await require_empty_body(request, service.settings, upload)
    else:
        received = await read_upload(request, service.settings, upload)
        audio, pairs = received.audio, [*pairs, *received.fields]
    fields = fields or await check_fields()
    await check_schema(request.receive, service, fields[2])
    audio = audio or await fetch_recording(request, service, upload, fields[1].url or "")
    sniff_file(audio)
    return audio, pairs, fields


def build_summary_request(audio: BinaryIO, fields: ParsedFields, **more: Any) -> SummaryRequest:
    """The summary that the fields ask for. more: what else `Job` takes."""
    style, options, output_format = fields
    return SummaryRequest(
        id=f"sum-{uuid.uuid4().hex}",
        audio=audio,
        style=style,
        output_format=output_format,
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        seed=options.seed,
        **more,
    )


def uploaded_recording(audio: BinaryIO, options: SummaryOptions) -> BinaryIO | None:
    """The recording, if it came with the request; what is behind a URL may be another one the next time."""
    return None if options.url else audio


def parse_summary_fields(pairs: list[tuple[str, str]]) -> ParsedFields:
    """The fields by their types. Raises InvalidRequest (400)."""
    style, options = parse_fields(pairs)
    return style, options, options.output_format


def _text_response(answer: SummaryResponse, media_type: str) -> Response:
    """The summary alone; what a reader should know of it in headers, in ASCII."""
    headers = _summary_headers(answer.id, answer.model, answer.kind) | _final_headers(answer)
    return Response(answer.summary, media_type=media_type, headers=headers)


def _summary_headers(id_: str, model: str, kind: str) -> dict[str, str]:
    return {"x-summary-id": id_, "x-summary-model": model, "x-summary-kind": kind}


def _final_headers(answer: SummaryResponse) -> dict[str, str]:
    return {
        "x-summary-complete": str(answer.complete).lower(),
        "x-summary-finish-reason": answer.finish_reason,
        "x-summary-warnings": json.dumps(answer.warnings),
        **server_timing(answer.timings),
    }


def _summary_text_stream(scope: RequestScope, media_type: str) -> TextStreamResponse:
    served = scope.resolved_model.model.info

    async def work(write: WriteText) -> dict[str, str]:
        summary = await scope.summarize(lambda event: write(event.text) if isinstance(event, SummaryDelta) else None)
        return _final_headers(summary_response(summary, served, scope.created))

    return TextStreamResponse(
        work, media_type, _summary_headers(scope.summary_request.id, scope.resolved_model.id, served.kind)
    )


def _summary_event_stream(scope: RequestScope) -> EventStreamResponse:
    common = {"id": scope.summary_request.id, "created": scope.created, "model": scope.resolved_model.id}

    async def send_events(say: SendEvent) -> None:
        def emit(event: StageProgress | SummaryDelta) -> None:
            if isinstance(event, SummaryDelta):
                say(DeltaEvent(**common, delta=event.text))
            else:
                say(ProgressEvent(**common, stage=event.stage, done=event.done, of=event.total))

        emit(StageProgress("received"))
        summary = await scope.summarize(emit)
        say(summary_response(summary, scope.resolved_model.model.info, scope.created, done=True))

    return EventStreamResponse(send_events, scope.service.settings.timeouts.keep_alive_seconds)
