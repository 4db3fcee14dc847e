"""`POST /v1/chat/completions`: the same path for clients that know OpenAI's API only."""

import asyncio
import time
import uuid
from typing import Literal

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from app.api.auth import Credentials
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
from app.api.idempotency import fingerprint, respond_once
from app.api.json_body import load_json_body
from app.api.openapi import IDEMPOTENCY_KEY, event_stream_content, json_request_body
from app.api.protocol import ErrorResponse, server_timing, summary_response, token_usage
from app.api.query_parameters import reject_unknown_query
from app.api.request_scope import IncomingRequest, RequestScope, check_schema, fetch_recording, open_request_scope
from app.api.sse import EventStreamResponse, SendEvent
from app.api.upload import read_json
from app.core.audio.containers.sniff import sniff_file
from app.core.audio.samples import translate_disk_full
from app.engine.base import FinishReason
from app.summarize.request import StageProgress, Summary, SummaryDelta, SummaryRequest

# A WAV file in base64: a hundredth of a second of silence (16 kHz, 16 bit), whose summary is empty.
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
async def create_chat_completion(request: Request, credentials: Credentials) -> Response:
    """OpenAI's chat completion over one `input_audio` or `audio_url` part; the texts are the instruction. Where the
    messages hold answers, what follows the last one is a question about the same recording, and they are its context.
    """
    scope, (chat_request, digest) = await open_request_scope(request, credentials, _read_request)

    async def respond() -> Response:
        if chat_request.stream:
            return _completion_stream(
                scope, include_usage=bool(chat_request.stream_options and chat_request.stream_options.include_usage)
            )
        summary = await run_while_connected(request.receive, scope.summarize(lambda _: None))
        whole = _chat_completion(summary, scope).model_dump(mode="json")
        return JSONResponse(whole, headers=server_timing(summary.timings))

    with scope.close_on_error():
        return await respond_once(request, scope.caller.owner, digest, respond, scope.close)


async def _read_request(request: Request, incoming: IncomingRequest) -> tuple[SummaryRequest, tuple[ChatRequest, str]]:
    """The job; what was asked, and the body's fingerprint."""
    started_at = time.perf_counter()
    service, place = incoming.service, incoming.slot
    with await read_json(request, service.settings, place) as file:
        digest = await fingerprint(request, file)
        # Off the event loop: tens of megabytes of base64 take a while.
        chat_request = await asyncio.to_thread(
            lambda: parse_chat_request(load_json_body(file, service.settings.limits))
        )
        max_tokens = chat_request.max_completion_tokens or chat_request.max_tokens
        form, conversation = chat_request.output_format, chat_request.conversation
        pick = await incoming.resolve_model(chat_request.model)
        pick.summarizer.check_max_tokens(max_tokens)
        await check_schema(request.receive, service, form)
        if chat_request.recording_url is None:
            with translate_disk_full():
                audio = await asyncio.to_thread(decode_audio, chat_request.encoded_recording)
            place.release_bytes()  # the body is given up; the recording alone is held on
            place.add_bytes(audio.seek(0, 2))
        else:
            audio = await fetch_recording(request, service, place, chat_request.recording_url)
    sniff_file(audio)
    summary_request = SummaryRequest(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        audio=audio,
        custom_instruction=conversation.question,
        turns=conversation.turns,
        output_format=form,
        choice_count=chat_request.n or 1,
        max_tokens=max_tokens,
        temperature=0.0 if chat_request.temperature is None else chat_request.temperature,
        seed=None if chat_request.seed is None else chat_request.seed % 2**63,
        top_p=chat_request.top_p or 1.0,
        stop=chat_request.stop_sequences,
        started_at=started_at,
        upload_seconds=time.perf_counter() - started_at,
    )
    return summary_request, (chat_request, digest)


def _chat_completion(summary: Summary, scope: RequestScope) -> ChatCompletion:
    return ChatCompletion(
        id=summary.request.id,
        created=scope.created,
        model=scope.resolved_model.id,
        choices=[
            ChatChoice(
                index=index,
                message=ChatMessage(content=one.text),
                finish_reason=_openai_finish_reason(one.finish_reason, summary.request),
            )
            for index, one in enumerate(summary.choices)
        ],
        usage=token_usage(summary),
        speechsum=summary_response(summary, scope.resolved_model.model.info, scope.created),
    )


def _completion_stream(scope: RequestScope, include_usage: bool) -> EventStreamResponse:
    def chunk(*choices: ChunkChoice) -> ChatChunk:
        return ChatChunk(
            id=scope.summary_request.id, created=scope.created, model=scope.resolved_model.id, choices=list(choices)
        )

    async def send_chunks(say: SendEvent) -> None:
        def emit(event: StageProgress | SummaryDelta) -> None:
            if isinstance(event, SummaryDelta):
                say(chunk(ChunkChoice(index=event.choice_index, delta=ChunkDelta(content=event.text))))

        for index in range(scope.summary_request.choice_count):
            say(chunk(ChunkChoice(index=index, delta=ChunkDelta(role="assistant", content=""))))
        summary = await scope.summarize(emit)
        for index in range(scope.summary_request.choice_count):
            one = summary.choices[min(index, len(summary.choices) - 1)]  # silence has one empty answer for all
            last = chunk(
                ChunkChoice(
                    index=index,
                    delta=ChunkDelta(),
                    finish_reason=_openai_finish_reason(one.finish_reason, scope.summary_request),
                )
            )
            if index == scope.summary_request.choice_count - 1:
                last.speechsum = summary_response(summary, scope.resolved_model.model.info, scope.created)
            say(last)
        if include_usage:
            say(chunk().model_copy(update={"usage": token_usage(summary)}))

    return EventStreamResponse(send_chunks, scope.service.settings.timeouts.keep_alive_seconds)


def _openai_finish_reason(reason: FinishReason, summary_request: SummaryRequest) -> Literal["stop", "length"]:
    """OpenAI's word for how an answer ended. JSON that was stopped because it repeated itself has no end either, and
    its clients take what ended by "stop" for whole.
    """
    cut = reason == "length" or (reason == "repetition" and summary_request.output_format.schema is not None)
    return "length" if cut else "stop"
