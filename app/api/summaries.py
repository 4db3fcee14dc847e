"""`POST /v1/audio/summaries`: the route. What a summary is and how it is made is in `app.summarize.pipeline`."""

import json
import time
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from app.api.app_state import app_state
from app.api.disconnect import run_while_connected
from app.api.error_responses import error_responses
from app.api.idempotency import fingerprint, idempotent_request
from app.api.kept_recordings import use_recordings
from app.api.openapi import (
    IDEMPOTENCY_KEY,
    event_stream_content,
    query_parameters,
    text_summary_content,
    upload_request_body,
)
from app.api.protocol import ErrorResponse, SummaryResponse, server_timing, summary_response
from app.api.request_scope import AdmittedRequest, RequestScope, open_request_scope
from app.api.requested_templates import find_templates
from app.api.sse import EventStreamResponse, SendEvent
from app.api.summary_events import AnswerDeltaEvent, AnswerEvent, DeltaEvent, ProgressEvent, stream_event
from app.api.summary_fields import SummaryOptions
from app.api.summary_upload import build_summary_request, read_summary_upload
from app.api.text_stream import TextStreamResponse, WriteText
from app.summarize.request import StageProgress, Summary, SummaryDelta, SummaryEvent

router = APIRouter(tags=["summaries"])

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
                "With `stream=true`: progress, deltas, answers to questions, and all of it as `audio.summary.done`, or "
                "an error.",
                ProgressEvent,
                DeltaEvent,
                AnswerDeltaEvent,
                AnswerEvent,
                SummaryResponse,
                ErrorResponse,
            ),
        },
        **error_responses(400, 401, 403, 408, 409, 413, 404, 415, 422, 429, 500, 503),
    },
    openapi_extra={"requestBody": upload_request_body(), "parameters": [*query_parameters(), IDEMPOTENCY_KEY]},
)
async def create_summary(request: Request, scope: Annotated[RequestScope, Depends(open_request_scope)]) -> Response:
    """The answer is the recording's summary as JSON or, with `stream=true`, as server-sent events. With the
    `response_format` text or markdown it is the summary alone, which `stream=true` sends as it is written.
    """
    started_at = time.perf_counter()
    find = partial(find_templates, app_state(request).templates, scope.caller.owner)
    upload = await read_summary_upload(request, scope.service, scope.slot, scope.resolve_model, find)
    options = upload.fields.options
    upload_seconds = time.perf_counter() - started_at
    admitted = scope.admit(
        build_summary_request(
            upload.audio, upload.fields, upload.templates, started_at=started_at, upload_seconds=upload_seconds
        ),
        upload.resolved_model,
    )
    request_fingerprint = await fingerprint(request, upload.uploaded_audio, upload.fields.style, options)
    async with idempotent_request(request, scope.caller.owner, request_fingerprint) as idempotent:
        if idempotent.stored_response is not None:
            scope.close()
            return idempotent.stored_response
        use_recordings(scope.service, admitted, keep=options.keep, recording_id=options.recording_id)
        if options.stream and options.response_format in MEDIA_TYPES:
            response: Response = _text_stream(admitted, MEDIA_TYPES[options.response_format])
        elif options.stream:
            response = _event_stream(admitted, scope.service.settings.timeouts.keep_alive_seconds)
        else:
            summary = await run_while_connected(request.receive, admitted.summarize())
            response = format_response(_summary_response(summary, admitted), options)
        return await idempotent.keep(response)


def format_response(answer: SummaryResponse, options: SummaryOptions) -> Response:
    """Return a finished summary in the format that was asked for."""
    if options.response_format in MEDIA_TYPES:
        # The text holds the summary alone; what a reader should know about it is in headers, in ASCII.
        headers = _summary_headers(answer.id, answer.model, answer.kind) | _final_headers(answer)
        return Response(answer.summary, media_type=MEDIA_TYPES[options.response_format], headers=headers)
    return JSONResponse(answer.model_dump(mode="json"), headers=server_timing(answer.timings))


def _text_stream(admitted: AdmittedRequest, media_type: str) -> TextStreamResponse:
    async def produce_text(write: WriteText) -> dict[str, str]:
        def emit(event: SummaryEvent) -> None:
            if isinstance(event, SummaryDelta):
                write(event.text)

        return _final_headers(_summary_response(await admitted.summarize(emit), admitted))

    resolved_model = admitted.resolved_model
    headers = _summary_headers(admitted.summary_request.id, resolved_model.id, resolved_model.model.info.kind)
    return TextStreamResponse(produce_text, media_type, headers)


def _event_stream(admitted: AdmittedRequest, keep_alive_s: float) -> EventStreamResponse:
    id_, model = admitted.summary_request.id, admitted.resolved_model.id

    async def produce_events(send_event: SendEvent) -> None:
        def emit(event: SummaryEvent) -> None:
            send_event(stream_event(event, id_=id_, created=admitted.created, model=model))

        emit(StageProgress("received"))
        send_event(_summary_response(await admitted.summarize(emit), admitted, done=True))

    return EventStreamResponse(produce_events, keep_alive_s)


def _summary_response(summary: Summary, admitted: AdmittedRequest, *, done: bool = False) -> SummaryResponse:
    return summary_response(summary, admitted.resolved_model.model.info, admitted.created, done=done)


def _summary_headers(id_: str, model: str, kind: str) -> dict[str, str]:
    return {"x-summary-id": id_, "x-summary-model": model, "x-summary-kind": kind}


def _final_headers(answer: SummaryResponse) -> dict[str, str]:
    return {
        "x-summary-complete": str(answer.complete).lower(),
        "x-summary-finish-reason": answer.finish_reason,
        "x-summary-warnings": json.dumps(answer.warnings),
        **_recording_headers(answer),
        **({} if answer.template is None else {"x-summary-template": answer.template}),
        **server_timing(answer.timings),
    }


def _recording_headers(answer: SummaryResponse) -> dict[str, str]:
    if answer.recording_id is None:
        return {}
    return {"x-summary-recording-id": answer.recording_id, "x-summary-expires-at": str(answer.expires_at)}
