"""`/v1/audio/summaries/jobs`: the routes of queued work. How jobs are queued is in `app.jobs`, and how one is worked on
in `app.api.job_work`.
"""

import hashlib
from functools import partial
from ipaddress import IPv6Address, ip_network
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.security import HTTPAuthorizationCredentials
from starlette.responses import JSONResponse, Response

from app.api.app_state import app_state
from app.api.auth import Caller, Credentials, authenticate, authenticate_and_charge
from app.api.error_responses import error_responses
from app.api.idempotency import fingerprint, idempotent_request, stored_response
from app.api.job_events import describe_job, find_job, job_event_stream, job_not_found_error
from app.api.job_work import field_pairs, trace_pairs
from app.api.jobs_protocol import JobList, JobResponse, JobState, job_response
from app.api.kept_recordings import find_recording
from app.api.openapi import (
    IDEMPOTENCY_KEY,
    event_stream_content,
    query_parameters,
    text_summary_content,
    upload_request_body,
)
from app.api.protocol import ErrorResponse, SummaryResponse
from app.api.query_parameters import reject_unknown_query
from app.api.request_scope import model_seed
from app.api.requested_templates import find_templates, pinned_pairs
from app.api.summaries import format_response
from app.api.summary_fields import parse_fields
from app.api.summary_upload import read_summary_upload
from app.core.errors import Conflict, InvalidRequest, Unauthorized
from app.jobs.idempotency_store import StoredResponse
from app.jobs.queue import JobQueue
from app.jobs.store import FAILED, SUCCEEDED, Job

router = APIRouter(tags=["jobs"])

SCOPE = "jobs"
PATH = "/v1/audio/summaries/jobs"
WEBHOOK_FIELD = "webhook_url"
DROPPED_FIELDS = (WEBHOOK_FIELD, "url")  # not stored with the job, which does not need them; a URL may be signed
REJECT_UNKNOWN_QUERY = [Depends(reject_unknown_query)]
_WEBHOOK_FIELD_SCHEMA = {
    WEBHOOK_FIELD: {
        "type": "string",
        "description": "URL to which a signed webhook is sent when the job has ended.",
    }
}


@router.post(
    PATH,
    summary="Queue a recording to be summarized",
    status_code=202,
    response_model=JobResponse,
    responses=error_responses(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503),
    openapi_extra={
        "requestBody": upload_request_body(_WEBHOOK_FIELD_SCHEMA),
        "parameters": [*query_parameters(_WEBHOOK_FIELD_SCHEMA), IDEMPOTENCY_KEY],
    },
)
async def create_job(request: Request, credentials: Credentials) -> Response:
    """The status is 202 once the recording and the job are stored, so that they survive a restart of the service."""
    state = app_state(request)
    service, jobs = state.service, state.jobs
    caller = await authenticate_and_charge(request, credentials, SCOPE)
    await service.models.check_any_ready()
    root_path = request.scope.get("root_path", "")
    resolve_model = partial(service.models.resolve, seed=model_seed(request, caller))
    find = partial(find_templates, state.templates, caller.owner)
    with service.admission.job_upload(caller.name) as slot:
        upload = await read_summary_upload(request, service, slot, resolve_model, find, route_fields=(WEBHOOK_FIELD,))
        with upload.audio as audio:
            options = upload.fields.options
            if options.stream:
                message = f"A job is not streamed; its progress is at {PATH}/{{id}}/events."
                raise InvalidRequest(message, code="invalid_field", param="stream")
            webhook = await _read_webhook_url(upload.pairs, jobs, caller.owner)
            size = audio.seek(0, 2)
            request_fingerprint = await fingerprint(
                request, upload.uploaded_audio, upload.fields.style, options, webhook
            )
            async with idempotent_request(request, caller.owner, request_fingerprint) as idempotent:
                if idempotent.stored_response is not None:
                    return idempotent.stored_response
                if options.recording_id is not None:
                    find_recording(service, upload.resolved_model, options.recording_id, caller.owner)
                answer = partial(_replayable_response, root_path=root_path)
                idempotent_answer = (idempotent.reservation, answer) if idempotent.reservation else None
                job = await jobs.enqueue(
                    caller.owner,
                    _counting_name(caller),
                    [
                        *(pair for pair in upload.pairs if pair[0] not in DROPPED_FIELDS),
                        *pinned_pairs(upload.templates),
                        *trace_pairs(),
                    ],
                    audio,
                    size,
                    webhook,
                    idempotent_answer,
                )
    return _accepted_response(job, root_path)


@router.get(
    PATH,
    summary="List your jobs, newest first",
    responses=error_responses(400, 401, 403, 404, 503),
    dependencies=REJECT_UNKNOWN_QUERY,
)
async def list_jobs(
    request: Request,
    credentials: Credentials,
    limit: Annotated[int, Query(ge=1, le=100, description="Number of jobs in a page.")] = 20,
    after: Annotated[str | None, Query(description="Id of the last job of the page before.")] = None,
    state: Annotated[JobState | None, Query(description="List only jobs in this state.")] = None,
) -> JobList:
    """The answer is a page of jobs, without their summaries. It requires an API key: a job that was queued without one
    is found only by its id, which nobody can guess.
    """
    jobs = app_state(request).jobs
    owner = await _authenticated_owner(request, credentials)
    if not owner:
        raise Unauthorized(
            "Only jobs that were queued with an API key can be listed, and only with that key. A job that was queued "
            "without a key is found only by its id, which only its caller knows.",
            code="missing_api_key",
        )
    last = await find_job(jobs, after, owner) if after else None
    found = await jobs.store.page(owner, state, last, limit + 1)  # one more, to know whether there is a next page
    deliveries = await jobs.store.deliveries(found)
    page = [job_response(job, deliveries.get(job.id), with_summary=False) for job in found[:limit]]
    return JobList(
        data=page,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
        has_more=len(found) > limit,
    )


@router.get(
    PATH + "/{id}",
    summary="Look up a job",
    responses=error_responses(400, 401, 403, 404, 503),
    dependencies=REJECT_UNKNOWN_QUERY,
)
async def get_job(request: Request, credentials: Credentials, id: str) -> JobResponse:
    """The answer is the job: its state, its progress, and once it has ended its summary or its error."""
    jobs = app_state(request).jobs
    job = await find_job(jobs, id, await _authenticated_owner(request, credentials))
    return await describe_job(jobs, job)


@router.get(
    PATH + "/{id}/result",
    summary="Get the summary of a job",
    response_model=SummaryResponse,
    responses={
        200: {"content": text_summary_content()},
        **error_responses(400, 401, 403, 404, 409, 413, 415, 422, 500, 503),
    },
    dependencies=REJECT_UNKNOWN_QUERY,
)
async def get_result(request: Request, credentials: Credentials, id: str) -> Response:
    """The answer is the one that `POST /v1/audio/summaries` would have given, whether a summary or an error. Until the
    job has ended, the status is 409.
    """
    state = app_state(request)
    job = await find_job(state.jobs, id, await _authenticated_owner(request, credentials))
    if job.state == SUCCEEDED:
        _, options = parse_fields(field_pairs(job))
        return format_response(SummaryResponse.model_validate(job.result), options)
    if job.state == FAILED and job.error:
        return JSONResponse(job.error["body"], status_code=job.error["status"], headers={"x-should-retry": "false"})
    raise Conflict(
        f"The job is {job.state}." if job.is_final else f"The job has not ended: it is {job.state}. Try again later.",
        code="job_cancelled" if job.is_final else "job_not_ended",
        retry_after_s=None if job.is_final else state.service.settings.limits.retry_after_seconds,
    )


@router.post(
    PATH + "/{id}/cancel",
    summary="Cancel a job",
    responses=error_responses(400, 401, 403, 404, 503),
    dependencies=REJECT_UNKNOWN_QUERY,
)
async def cancel_job(request: Request, credentials: Credentials, id: str) -> JobResponse:
    """A queued or running job is cancelled; a job that has ended stays as it is. The answer is the job afterwards."""
    jobs = app_state(request).jobs
    job = await jobs.cancel(id, await _authenticated_owner(request, credentials))
    if job is None:
        raise job_not_found_error(id)
    return await describe_job(jobs, job)


@router.delete(
    PATH + "/{id}",
    summary="Delete a job",
    status_code=204,
    responses=error_responses(400, 401, 403, 404, 503),
    dependencies=REJECT_UNKNOWN_QUERY,
)
async def delete_job(request: Request, credentials: Credentials, id: str) -> Response:
    """The job is cancelled if it has not ended, and everything that is stored about it is deleted: the recording, the
    summary or the error, the state of the webhook, and the answer under its Idempotency-Key. No webhook is sent.
    """
    jobs = app_state(request).jobs
    if not await jobs.delete(id, await _authenticated_owner(request, credentials)):
        raise job_not_found_error(id)
    return Response(status_code=204)


@router.get(
    PATH + "/{id}/events",
    summary="Watch a job",
    response_class=Response,
    responses={
        200: {
            "description": "The job at every change, with its summary once it has ended; then `[DONE]`.",
            "content": event_stream_content("The job, or an error.", JobResponse, ErrorResponse),
        },
        204: {
            "description": "The `Last-Event-ID` is that of the last event. Do not connect again: nothing will follow."
        },
        **error_responses(400, 401, 403, 404, 503),
    },
    dependencies=REJECT_UNKNOWN_QUERY,
)
async def watch_job(
    request: Request,
    credentials: Credentials,
    id: str,
    last_event_id: Annotated[
        str, Header(description="Id of the last event that was received, as browsers send it.")
    ] = "",
) -> Response:
    """The answer is server-sent events until the job has ended. A client that connects late, or again, first gets the
    job's present state. The status 204 tells a browser's EventSource not to connect again after the end.
    """
    state = app_state(request)
    owner = await _authenticated_owner(request, credentials)
    keep_alive_s = state.service.settings.timeouts.keep_alive_seconds
    return await job_event_stream(state.jobs, id, owner, state.stopping, keep_alive_s, last_event_id)


async def _authenticated_owner(request: Request, credentials: HTTPAuthorizationCredentials | None) -> str:
    return (await authenticate(request, credentials, SCOPE)).owner


async def _read_webhook_url(pairs: list[tuple[str, str]], jobs: JobQueue, owner: str) -> str | None:
    given = [value for name, value in pairs if name == WEBHOOK_FIELD and value.strip()]
    if len(given) > 1:
        raise InvalidRequest(
            f"The field {WEBHOOK_FIELD!r} is given twice.", code="duplicate_field", param=WEBHOOK_FIELD
        )
    if not given:
        return None
    await jobs.check_webhook(given[0], owner, WEBHOOK_FIELD)
    return given[0]


def _counting_name(caller: Caller) -> str:
    """Return the name under which a caller's waiting jobs are counted: the key's owner, or without a key a digest of
    the network address, since jobs are stored for long. All addresses of an IPv6 network of 64 bits count as one,
    because one host can use all of them.
    """
    if caller.owner:
        return caller.owner
    name = caller.name
    try:
        if isinstance(address := ip_network(name).network_address, IPv6Address) and address.ipv4_mapped is None:
            name = str(ip_network((address, 64), strict=False))
    except ValueError:  # it is no address, for example if the caller is connected through a Unix socket
        pass
    return f"address-{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def _accepted_response(job: Job, root_path: str) -> JSONResponse:
    body = job_response(job).model_dump(mode="json")
    return JSONResponse(body, status_code=202, headers={"location": f"{root_path}{PATH}/{job.id}"})


def _replayable_response(job: Job, root_path: str) -> StoredResponse:
    response = _accepted_response(job, root_path)
    return stored_response(response, bytes(response.body))
