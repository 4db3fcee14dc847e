"""`POST /v1/chat/completions`: the route for clients that speak OpenAI's API. What a summary is and how it is made is
in `app.summarize.pipeline`.
"""

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import Annotated, BinaryIO, Literal

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from app.api.app_state import app_state
from app.api.background_fields import check_background
from app.api.base64_audio import decode_audio
from app.api.chat_protocol import (
    ChatChoice,
    ChatChunk,
    ChatCompletion,
    ChatMessage,
    ChatRequest,
    ChunkChoice,
    ChunkDelta,
    parse_chat_request,
)
from app.api.disconnect import run_while_connected
from app.api.error_responses import error_responses
from app.api.idempotency import fingerprint, idempotent_request
from app.api.json_body import load_json_body
from app.api.kept_recordings import check_recording_fields, use_recordings
from app.api.openapi import IDEMPOTENCY_KEY, event_stream_content, json_request_body
from app.api.protocol import ErrorResponse, server_timing, summary_response, token_usage
from app.api.query_parameters import reject_unknown_query
from app.api.request_scope import AdmittedRequest, RequestScope, check_schema, fetch_recording, open_request_scope
from app.api.requested_templates import RequestedTemplates, find_templates
from app.api.sse import EventStreamResponse, SendEvent
from app.api.transcript_protocol import check_transcript
from app.api.upload import read_json
from app.core.audio.containers.sniff import sniff_file
from app.core.audio.samples import create_unnamed_file, translate_disk_full
from app.engine.base import FinishReason
from app.models.resolver import ResolvedModel
from app.summarize.request import OutputFormat, Summary, SummaryDelta, SummaryEvent, SummaryRequest

# A WAV file in base64: a hundredth of a second of silence (16 kHz, 16 bit). Its summary is empty.
_SILENT_WAV_BASE64 = "UklGRmYBAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YUIBAAAA" + 428 * "A"
EXAMPLE_REQUEST = {
    "model": "",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "input_audio", "input_audio": {"data": _SILENT_WAV_BASE64, "format": "wav"}},
                {"type": "text", "text": "Summarize the recording in two sentences."},
            ],
        }
    ],
}

router = APIRouter(tags=["chat"], dependencies=[Depends(reject_unknown_query)])


@router.post(
    "/v1/chat/completions",
    summary="Summarize the recording in a chat message",
    response_model=ChatCompletion,
    responses={
        200: {"content": event_stream_content("With `stream`: chunks, or an error.", ChatChunk, ErrorResponse)},
        **error_responses(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503),
    },
    openapi_extra={"requestBody": json_request_body(ChatRequest, EXAMPLE_REQUEST), "parameters": [IDEMPOTENCY_KEY]},
)
async def create_chat_completion(
    request: Request, scope: Annotated[RequestScope, Depends(open_request_scope)]
) -> Response:
    """The answer is that of OpenAI's chat completions. One message holds the recording, as an `input_audio` or
    `audio_url` part, unless `recording_id` names one that was kept; the texts are the instruction. If the messages hold
    earlier answers, the text after the last one is a question about the same recording, and the earlier questions and
    answers are its context.
    """
    started_at = time.perf_counter()
    upload = await _read_upload(request, scope)
    chat_request = upload.chat_request
    upload_seconds = time.perf_counter() - started_at
    admitted = scope.admit(_build_summary_request(upload, started_at, upload_seconds), upload.resolved_model)
    async with idempotent_request(request, scope.caller.owner, upload.fingerprint) as idempotent:
        if idempotent.stored_response is not None:
            scope.close()
            return idempotent.stored_response
        keep, recording_id = bool(chat_request.keep), chat_request.recording_id
        use_recordings(scope.service, admitted, keep=keep, recording_id=recording_id)
        if chat_request.stream:
            include_usage = bool(chat_request.stream_options and chat_request.stream_options.include_usage)
            keep_alive_s = scope.service.settings.timeouts.keep_alive_seconds
            response: Response = _chunk_stream(admitted, include_usage, keep_alive_s)
        else:
            summary = await run_while_connected(request.receive, admitted.summarize())
            body = _chat_completion(summary, admitted).model_dump(mode="json")
            response = JSONResponse(body, headers=server_timing(summary.timings))
        return await idempotent.keep(response)


@dataclass(frozen=True)
class _ChatUpload:
    """A chat request that has arrived, its recording in a file, its model, and the fingerprint of its body."""

    chat_request: ChatRequest
    output_format: OutputFormat
    audio: BinaryIO
    resolved_model: ResolvedModel
    fingerprint: str
    templates: RequestedTemplates


async def _read_upload(request: Request, scope: RequestScope) -> _ChatUpload:
    service, slot = scope.service, scope.slot
    with await read_json(request, service.settings, slot) as file:
        body_fingerprint = await fingerprint(request, file)
        # Outside the event loop: tens of megabytes of base64 take a while.
        chat_request = await asyncio.to_thread(
            lambda: parse_chat_request(load_json_body(file, service.settings.limits))
        )
        output_format = chat_request.output_format
        check_background(chat_request.background, service.settings.limits)
        check_recording_fields(service, keep=bool(chat_request.keep), recording_id=chat_request.recording_id)
        resolved_model = await scope.resolve_model(chat_request.model)
        resolved_model.summarizer.check_max_tokens(chat_request.max_summary_tokens)
        check_transcript(service.models, resolved_model, chat_request.transcript)
        templates = await find_templates(app_state(request).templates, scope.caller.owner, chat_request.template)
        await check_schema(request, service, templates.output_format(output_format))
        if chat_request.recording_id is not None:
            audio = create_unnamed_file()
            scope.resources.callback(audio.close)
        elif chat_request.recording_url is None:
            with translate_disk_full():
                audio = await asyncio.to_thread(decode_audio, chat_request.encoded_recording)
            scope.resources.callback(audio.close)
            slot.release_bytes()  # those of the body; from here on the recording alone is held
            slot.add_bytes(audio.seek(0, 2))
        else:
            audio = await fetch_recording(request, service, slot, chat_request.recording_url)
            scope.resources.callback(audio.close)
    if chat_request.recording_id is None:
        sniff_file(audio)
    return _ChatUpload(chat_request, output_format, audio, resolved_model, body_fingerprint, templates)


def _build_summary_request(upload: _ChatUpload, started_at: float, upload_seconds: float) -> SummaryRequest:
    chat_request = upload.chat_request
    conversation = chat_request.conversation
    request = SummaryRequest(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        audio=upload.audio,
        custom_instruction=conversation.question,
        turns=conversation.turns,
        background=chat_request.background,
        transcript_format=chat_request.transcript,
        output_format=upload.output_format,
        choice_count=chat_request.n or 1,
        effort=chat_request.effort or "normal",
        max_tokens=chat_request.max_summary_tokens,
        temperature=0.0 if chat_request.temperature is None else chat_request.temperature,
        seed=None if chat_request.seed is None else chat_request.seed % 2**63,
        top_p=chat_request.top_p or 1.0,
        stop=chat_request.stop_sequences,
        started_at=started_at,
        upload_seconds=upload_seconds,
        questions=tuple(chat_request.questions or ()),
    )
    return upload.templates.apply(request)


def _chat_completion(summary: Summary, admitted: AdmittedRequest) -> ChatCompletion:
    return ChatCompletion(
        id=summary.request.id,
        created=admitted.created,
        model=admitted.resolved_model.id,
        choices=[
            ChatChoice(
                index=index,
                message=ChatMessage(content=choice.text),
                finish_reason=_openai_finish_reason(choice.finish_reason, summary.request),
            )
            for index, choice in enumerate(summary.choices)
        ],
        usage=token_usage(summary),
        speechsum=summary_response(summary, admitted.resolved_model.model.info, admitted.created),
    )


def _chunk_stream(admitted: AdmittedRequest, include_usage: bool, keep_alive_s: float) -> EventStreamResponse:
    summary_request = admitted.summary_request

    def chunk(*choices: ChunkChoice) -> ChatChunk:
        return ChatChunk(
            id=summary_request.id, created=admitted.created, model=admitted.resolved_model.id, choices=list(choices)
        )

    async def produce_chunks(send_event: SendEvent) -> None:
        def emit(event: SummaryEvent) -> None:
            if isinstance(event, SummaryDelta):
                send_event(chunk(ChunkChoice(index=event.choice_index, delta=ChunkDelta(content=event.text))))

        for index in range(summary_request.choice_count):
            send_event(chunk(ChunkChoice(index=index, delta=ChunkDelta(role="assistant", content=""))))
        summary = await admitted.summarize(emit)
        for index in range(summary_request.choice_count):
            choice = summary.choices[min(index, len(summary.choices) - 1)]  # silence has one empty answer for all
            finish_reason = _openai_finish_reason(choice.finish_reason, summary_request)
            last = chunk(ChunkChoice(index=index, delta=ChunkDelta(), finish_reason=finish_reason))
            if index == summary_request.choice_count - 1:
                last.speechsum = summary_response(summary, admitted.resolved_model.model.info, admitted.created)
            send_event(last)
        if include_usage:
            send_event(chunk().model_copy(update={"usage": token_usage(summary)}))

    return EventStreamResponse(produce_chunks, keep_alive_s)


def _openai_finish_reason(reason: FinishReason, summary_request: SummaryRequest) -> Literal["stop", "length"]:
    """Return OpenAI's word for how an answer ended. JSON that was stopped because it repeated itself is incomplete, and
    clients take JSON that ended by "stop" to be complete.
    """
    cut = reason == "length" or (reason == "repetition" and summary_request.output_format.schema is not None)
    return "length" if cut else "stop"
