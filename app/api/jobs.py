"""`/v1/audio/summaries/jobs`: long work, queued; the routes. How it is queued and worked on is in `app.jobs`."""

import hashlib
import time
from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address, ip_network
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.security import HTTPAuthorizationCredentials
from starlette.responses import JSONResponse, Response

from app.api.auth import Caller, Credentials, admitted, known
from app.api.error_responses import responses
from app.api.idempotency import fingerprint, kept_answer, reserving
from app.api.job_events import describe_job, find_job, job_events, unknown_job
from app.api.jobs_protocol import JobList, JobResponse, State, job_response
from app.api.openapi import IDEMPOTENCY_KEY, bare_summaries, event_stream, query_parameters, request_body
from app.api.protocol import ErrorResponse, SummaryResponse, summary_response
from app.api.query_parameters import only_known_query
from app.api.request_scope import seed_of, unattended
from app.api.summaries import job_of, read_request, sent, shown, typed_fields
from app.api.summary_fields import parse_fields
from app.core.errors import Conflict, InvalidRequest, Unauthorized
from app.jobs.idempotency_store import Answer
from app.jobs.queue import Jobs
from app.jobs.runner import Progress
from app.jobs.store import FAILED, SUCCEEDED, StoredJob
from app.keys.authenticator import Keys
from app.service import Service
from app.summarize.request import Delta, Stage

router = APIRouter(tags=["jobs"])

SCOPE = "jobs"
PATH = "/v1/audio/summaries/jobs"
WEBHOOK = "webhook_url"
NOT_KEPT = (WEBHOOK, "url")  # fields that the work has no use for; a URL may be signed
BACKGROUND = 1  # the priority of a job; a request that somebody waits for has 0
REFUSING = [Depends(only_known_query)]
_WEBHOOK_FIELD = {WEBHOOK: {"type": "string", "description": "Told, signed, when the job has ended."}}


@router.post(
    PATH,
    summary="Queue a recording to be summarized",
    status_code=202,
    response_model=JobResponse,
    responses=responses(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503),
    openapi_extra={
        "requestBody": request_body(_WEBHOOK_FIELD),
        "parameters": [*query_parameters(_WEBHOOK_FIELD), IDEMPOTENCY_KEY],
    },
)
async def create_job(request: Request, credentials: Credentials) -> Response:
    """202 once recording and job are kept: from then on they outlive the service."""
    service, jobs = _parts(request)
    caller = await admitted(request, credentials, SCOPE)
    await service.models.check_any()
    root_path = request.scope.get("root_path", "")
    resolve = partial(service.models.resolve, seed=seed_of(request, caller))
    with service.admission.upload(caller.name) as upload:
        audio, pairs, (style, options, _) = await read_request(request, service, upload, resolve, own=(WEBHOOK,))
        with audio:
            if options.stream:
                watch = f"A job is not streamed; its progress is at {PATH}/{{id}}/events."
                raise InvalidRequest(watch, code="invalid_field", param="stream")
            webhook = await _webhook(pairs, jobs, caller.owner)
            size = audio.seek(0, 2)
            asked = await fingerprint(request, sent(audio, options), style, options, webhook)
            async with reserving(request, caller.owner, asked) as found:
                if isinstance(found, Response):
                    return found
                kept = (found, partial(_kept_response, root_path=root_path)) if found else None
                fields = [pair for pair in pairs if pair[0] not in NOT_KEPT]
                job = await jobs.accept(caller.owner, _counted_as(caller), fields, audio, size, webhook, kept)
    return _accepted_response(job, root_path)


@router.get(
    PATH,
    summary="List your jobs, newest first",
    responses=responses(400, 401, 403, 404, 503),
    dependencies=REFUSING,
)
async def list_jobs(
    request: Request,
    credentials: Credentials,
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs a page.")] = 20,
    after: Annotated[str | None, Query(description="The last job of the page before.")] = None,
    state: Annotated[State | None, Query(description="Only these.")] = None,
) -> JobList:
    """A page of them, without their summaries. Only with an API key: a job that was queued without one is found by its
    id alone, which nobody can guess.
    """
    _, jobs = _parts(request)
    mine = await _owner(request, credentials)
    if not mine:
        raise Unauthorized(
            "Only jobs that were queued with an API key can be listed, and only with that key. A job that was queued "
            "without one is found by its id, which is told to its caller alone.",
            code="missing_api_key",
        )
    last = await find_job(jobs, after, mine) if after else None
    found = await jobs.store.page(mine, state, last, limit + 1)
    deliveries = await jobs.store.deliveries(found)
    shown_ = [job_response(job, deliveries.get(job.id), whole=False) for job in found[:limit]]
    return JobList(
        data=shown_,
        first_id=shown_[0].id if shown_ else None,
        last_id=shown_[-1].id if shown_ else None,
        has_more=len(found) > limit,
    )


@router.get(
    PATH + "/{id}",
    summary="Look up a job",
    responses=responses(400, 401, 403, 404, 503),
    dependencies=REFUSING,
)
async def get_job(request: Request, credentials: Credentials, id: str) -> JobResponse:
    """Its state, its progress, and once it has ended its summary or its error."""
    _, jobs = _parts(request)
    job = await find_job(jobs, id, await _owner(request, credentials))
    return await describe_job(jobs, job)


@router.get(
    PATH + "/{id}/result",
    summary="A job's summary",
    response_model=SummaryResponse,
    responses={200: {"content": bare_summaries()}, **responses(400, 401, 403, 404, 409, 413, 415, 422, 500, 503)},
    dependencies=REFUSING,
)
async def get_result(request: Request, credentials: Credentials, id: str) -> Response:
    """The very answer that `POST /v1/audio/summaries` would have given, its failures too; 409 until it has ended."""
    service, jobs = _parts(request)
    job = await find_job(jobs, id, await _owner(request, credentials))
    if job.state == SUCCEEDED:
        _, options = parse_fields(_pairs(job))
        return shown(SummaryResponse.model_validate(job.result), options)
    if job.state == FAILED and job.error:
        return JSONResponse(job.error["body"], status_code=job.error["status"], headers={"x-should-retry": "false"})
    raise Conflict(
        f"The job is {job.state}." if job.ended else f"The job has not ended: it is {job.state}. Ask again later.",
        code="job_cancelled" if job.ended else "job_not_ended",
        retry_after_s=None if job.ended else service.settings.limits.retry_after_seconds,
    )


@router.post(
    PATH + "/{id}/cancel",
    summary="Cancel a job",
    responses=responses(400, 401, 403, 404, 503),
    dependencies=REFUSING,
)
async def cancel_job(request: Request, credentials: Credentials, id: str) -> JobResponse:
    """Ends it, queued or worked on; one that has ended is left as it is. The answer is the job as it is then."""
    _, jobs = _parts(request)
    job = await jobs.cancel(id, await _owner(request, credentials))
    if job is None:
        raise unknown_job(id)
    return await describe_job(jobs, job)


@router.delete(
    PATH + "/{id}",
    summary="Delete a job",
    status_code=204,
    responses=responses(400, 401, 403, 404, 503),
    dependencies=REFUSING,
)
async def delete_job(request: Request, credentials: Credentials, id: str) -> Response:
    """Ends it if it has not ended, and deletes all that is kept of it: the recording, the summary or the error, the
    webhook's state, the answer under its Idempotency-Key. No webhook tells of it.
    """
    _, jobs = _parts(request)
    if not await jobs.delete(id, await _owner(request, credentials)):
        raise unknown_job(id)
    return Response(status_code=204)


@router.get(
    PATH + "/{id}/events",
    summary="Watch a job",
    response_class=Response,
    responses={
        200: {
            "description": "The job at every change, whole once it has ended; then `[DONE]`.",
            "content": event_stream("The job, or an error.", JobResponse, ErrorResponse),
        },
        204: {"description": "The `Last-Event-ID` is that of the last event: nothing will follow, do not ask again."},
        **responses(400, 401, 403, 404, 503),
    },
    dependencies=REFUSING,
)
async def watch_job(
    request: Request,
    credentials: Credentials,
    id: str,
    last_event_id: Annotated[
        str, Header(description="The id of the last event that was received, as browsers send it.")
    ] = "",
) -> Response:
    """Server-sent events until it has ended. Whoever comes late, or again, is told how it stands and goes on from
    there. A browser's EventSource that connects again after the end is told by a 204 not to.
    """
    service, jobs = _parts(request)
    mine = await _owner(request, credentials)
    keep_alive_s = service.settings.timeouts.keep_alive_seconds
    return await job_events(jobs, id, mine, request.app.state.stopping, keep_alive_s, last_event_id)


async def work(
    service: Service, keys: Keys, stored: StoredJob, audio: BinaryIO, tell: Callable[[Progress], None]
) -> dict[str, Any]:
    """A job's result: the body of the answer that a request would have had. Its model is the one that it would get now.
    Raises ServiceError.
    """
    fields = typed_fields(_pairs(stored))
    pick = await service.models.resolve(fields[1].model, stored.owner or stored.id)
    pick.summarizer.check(fields[1].max_tokens)
    form = fields[2]
    if form.schema is not None and form.param:
        # Checked when the job was queued, but perhaps by another version of the service; what is known costs nothing.
        await service.schemas.check(form.schema, form.param)
    job = job_of(
        audio,
        fields,
        began=time.perf_counter(),
        longest_s=service.settings.jobs.seconds,
        priority=BACKGROUND,
        owner=stored.owner,
    )

    def emit(event: Stage | Delta) -> None:
        if isinstance(event, Stage):
            tell({"stage": event.stage, "done": event.done, "of": event.of})

    entrance = unattended(service, pick, keys, job, int(stored.created))
    summary = await entrance.work(emit)
    return summary_response(summary, entrance.pick.model.served, entrance.created).model_dump(mode="json")


async def _owner(request: Request, credentials: HTTPAuthorizationCredentials | None) -> str:
    return (await known(request, credentials, SCOPE)).owner


def _parts(request: Request) -> tuple[Service, Jobs]:
    return request.app.state.service, request.app.state.jobs


def _pairs(job: StoredJob) -> list[tuple[str, str]]:
    return [(name, value) for name, value in job.fields]


async def _webhook(pairs: list[tuple[str, str]], jobs: Jobs, owner: str) -> str | None:
    given = [value for name, value in pairs if name == WEBHOOK and value.strip()]
    if len(given) > 1:
        raise InvalidRequest(f"The field {WEBHOOK!r} is given twice.", code="duplicate_field", param=WEBHOOK)
    if not given:
        return None
    await jobs.check_webhook(given[0], owner, WEBHOOK)
    return given[0]


def _counted_as(caller: Caller) -> str:
    """By whom a caller's waiting jobs are counted: its key, else its address, of which a digest is kept for so long. An
    IPv6 host has a whole network of 64 bits to call from.
    """
    if caller.owner:
        return caller.owner
    name = caller.name
    try:
        if isinstance(address := ip_network(name).network_address, IPv6Address) and address.ipv4_mapped is None:
            name = str(ip_network((address, 64), strict=False))
    except ValueError:  # no address, as of a Unix socket
        pass
    return f"address-{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def _accepted_response(job: StoredJob, root_path: str) -> JSONResponse:
    body = job_response(job).model_dump(mode="json")
    return JSONResponse(body, status_code=202, headers={"location": f"{root_path}{PATH}/{job.id}"})


def _kept_response(job: StoredJob, root_path: str) -> Answer:
    response = _accepted_response(job, root_path)
    return kept_answer(response, bytes(response.body))
