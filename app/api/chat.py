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
    parse,
)
from app.api.disconnect import while_connected
from app.api.error_responses import responses
from app.api.idempotency import fingerprint, given_once
from app.api.json_body import take_in
from app.api.openapi import IDEMPOTENCY_KEY, event_stream, json_body
from app.api.protocol import ErrorResponse, server_timing, summary_response, usage_of
from app.api.query_parameters import only_known_query
from app.api.request_scope import Arrival, Entrance, check_schema, enter, fetched
from app.api.sse import EventStream, Say
from app.api.upload import read_json
from app.core.audio.containers.sniff import sniff_file
from app.core.audio.samples import told_if_full
from app.engine.base import FinishReason
from app.summarize.request import Delta, Job, Stage, Summary

# A WAV file in base64: a hundredth of a second of silence (16 kHz, 16 bit), whose summary is empty.
_SILENCE = "UklGRmYBAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YUIBAAAA" + 428 * "A"
EXAMPLE = {
    "model": "",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "input_audio", "input_audio": {"data": _SILENCE, "format": "wav"}},
                {"type": "text", "text": "Summarize the recording in two sentences."},
            ],
        }
    ],
}

router = APIRouter(tags=["chat"], dependencies=[Depends(only_known_query)])


@router.post(
    "/v1/chat/completions",
    summary="Summarize the recording in a chat message",
    response_model=ChatCompletion,
    responses={
        200: {"content": event_stream("With `stream`: chunks, or an error.", ChatChunk, ErrorResponse)},
        **responses(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503),
    },
    openapi_extra={"requestBody": json_body(ChatRequest, EXAMPLE), "parameters": [IDEMPOTENCY_KEY]},
)
async def create_chat_completion(request: Request, credentials: Credentials) -> Response:
    """OpenAI's chat completion over one `input_audio` or `audio_url` part; the texts are the instruction. Where the
    messages hold answers, what follows the last one is a question about the same recording, and they are its context.
    """
    entrance, (asked, digest) = await enter(request, credentials, _read)

    async def answer() -> Response:
        if asked.stream:
            return _stream(entrance, include_usage=bool(asked.stream_options and asked.stream_options.include_usage))
        summary = await while_connected(request.receive, entrance.work(lambda _: None))
        whole = _completion(summary, entrance).model_dump(mode="json")
        return JSONResponse(whole, headers=server_timing(summary.timings))

    with entrance.left_on_error():
        return await given_once(request, entrance.caller.owner, digest, answer, entrance.leave)


async def _read(request: Request, arrival: Arrival) -> tuple[Job, tuple[ChatRequest, str]]:
    """The job; what was asked, and the body's fingerprint."""
    began = time.perf_counter()
    service, place = arrival.service, arrival.place
    with await read_json(request, service.settings, place) as file:
        digest = await fingerprint(request, file)
        # Off the event loop: tens of megabytes of base64 take a while.
        asked = await asyncio.to_thread(lambda: parse(take_in(file, service.settings.limits)))
        most = asked.max_completion_tokens or asked.max_tokens
        form, told = asked.form, asked.conversation
        pick = await arrival.take(asked.model)
        pick.summarizer.check(most)
        await check_schema(request.receive, service, form)
        if asked.url is None:
            with told_if_full():
                audio = await asyncio.to_thread(decode_audio, asked.written)
            place.release()  # the body is given up; the recording alone is held on
            place.hold(audio.seek(0, 2))
        else:
            audio = await fetched(request, service, place, asked.url)
    sniff_file(audio)
    job = Job(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        audio=audio,
        own=told.question,
        turns=told.turns,
        form=form,
        choices=asked.n or 1,
        max_tokens=most,
        temperature=0.0 if asked.temperature is None else asked.temperature,
        seed=None if asked.seed is None else asked.seed % 2**63,
        top_p=asked.top_p or 1.0,
        stop=asked.stops,
        began=began,
        received_s=time.perf_counter() - began,
    )
    return job, (asked, digest)


def _completion(summary: Summary, entrance: Entrance) -> ChatCompletion:
    return ChatCompletion(
        id=summary.job.id,
        created=entrance.created,
        model=entrance.pick.id,
        choices=[
            ChatChoice(
                index=index,
                message=ChatMessage(content=one.text),
                finish_reason=_reason(one.finish_reason, summary.job),
            )
            for index, one in enumerate(summary.choices)
        ],
        usage=usage_of(summary),
        speechsum=summary_response(summary, entrance.pick.model.served, entrance.created),
    )


def _stream(entrance: Entrance, include_usage: bool) -> EventStream:
    def chunk(*choices: ChunkChoice) -> ChatChunk:
        return ChatChunk(id=entrance.job.id, created=entrance.created, model=entrance.pick.id, choices=list(choices))

    async def tell(say: Say) -> None:
        def emit(event: Stage | Delta) -> None:
            if isinstance(event, Delta):
                say(chunk(ChunkChoice(index=event.choice, delta=ChunkDelta(content=event.text))))

        for index in range(entrance.job.choices):
            say(chunk(ChunkChoice(index=index, delta=ChunkDelta(role="assistant", content=""))))
        summary = await entrance.work(emit)
        for index in range(entrance.job.choices):
            one = summary.choices[min(index, len(summary.choices) - 1)]  # silence has one empty answer for all
            last = chunk(
                ChunkChoice(index=index, delta=ChunkDelta(), finish_reason=_reason(one.finish_reason, entrance.job))
            )
            if index == entrance.job.choices - 1:
                last.speechsum = summary_response(summary, entrance.pick.model.served, entrance.created)
            say(last)
        if include_usage:
            say(chunk().model_copy(update={"usage": usage_of(summary)}))

    return EventStream(tell, entrance.service.settings.timeouts.keep_alive_seconds)


def _reason(reason: FinishReason, job: Job) -> Literal["stop", "length"]:
    """OpenAI's word for how an answer ended. JSON that was stopped because it repeated itself has no end either, and
    its clients take what ended by "stop" for whole.
    """
    cut = reason == "length" or (reason == "repetition" and job.form.schema is not None)
    return "length" if cut else "stop"
