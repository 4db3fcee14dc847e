"""`/v1/audio/summaries/jobs`: long work, queued; the routes. How it is queued and worked on is in `app.jobs`."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Query, Request
from fastapi.security import HTTPAuthorizationCredentials
from starlette.responses import JSONResponse, Response

from app.api.auth import Credentials, admitted, known
from app.api.entrance import seed_of, unattended
from app.api.errors import responses
from app.api.jobs_protocol import JobList, JobResponse, State, job_response
from app.api.openapi import IDEMPOTENCY_KEY, bare_summaries, event_stream, query_parameters, request_body
from app.api.protocol import ErrorResponse, SummaryResponse, summary_response
from app.api.repeats import fingerprint, kept_answer, reserving
from app.api.sse import EventStream, Say
from app.api.summaries import job_of, read_request, sent, shown, typed_fields
from app.errors import Conflict, InvalidRequest, NotFound, ServiceError, quoted
from app.idempotency import Answer
from app.job import Delta, Stage
from app.jobs.queue import Jobs
from app.jobs.runner import Progress
from app.jobs.store import FAILED, SUCCEEDED, StoredJob
from app.keys.keys import Keys
from app.service import Service

router = APIRouter(tags=["jobs"])

SCOPE = "jobs"
PATH = "/v1/audio/summaries/jobs"
WEBHOOK = "webhook_url"
NOT_KEPT = (WEBHOOK, "url")  # fields that the work has no use for; a URL may be signed
BACKGROUND = 1  # the priority of a job; a request that somebody waits for has 0
LOOK_SECONDS = 0.5  # between two looks at a job that somebody watches
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
            webhook = _webhook(pairs, jobs)
            size = audio.seek(0, 2)
            asked = await fingerprint(request, sent(audio, options), style, options, webhook)
            async with reserving(request, caller.owner, asked) as found:
                if isinstance(found, Response):
                    return found
                kept = (found, partial(_kept, root_path=root_path)) if found else None
                fields = [pair for pair in pairs if pair[0] not in NOT_KEPT]
                job = await jobs.accept(caller.owner, fields, audio, size, webhook, kept)
    return _accepted(job, root_path)


@router.get(PATH, summary="List your jobs, newest first", responses=responses(400, 401, 403, 404))
async def list_jobs(
    request: Request,
    credentials: Credentials,
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs a page.")] = 20,
    after: Annotated[str | None, Query(description="The last job of the page before.")] = None,
    state: Annotated[State | None, Query(description="Only these.")] = None,
) -> JobList:
    """A page of them, without their summaries."""
    _, jobs = _parts(request)
    mine = await _owner(request, credentials)
    last = await _job(jobs, after, mine) if after else None
    found = await jobs.store.page(mine, state, last, limit + 1)
    deliveries = await jobs.store.deliveries(found)
    shown_ = [job_response(job, deliveries.get(job.id), whole=False) for job in found[:limit]]
    return JobList(
        data=shown_,
        first_id=shown_[0].id if shown_ else None,
        last_id=shown_[-1].id if shown_ else None,
        has_more=len(found) > limit,
    )


@router.get(PATH + "/{id}", summary="Look up a job", responses=responses(401, 403, 404))
async def get_job(request: Request, credentials: Credentials, id: str) -> JobResponse:
    """Its state, its progress, and once it has ended its summary or its error."""
    _, jobs = _parts(request)
    job = await _job(jobs, id, await _owner(request, credentials))
    return await _told(jobs, job)


@router.get(
    PATH + "/{id}/result",
    summary="A job's summary",
    response_model=SummaryResponse,
    responses={200: {"content": bare_summaries()}, **responses(401, 403, 404, 409, 413, 415, 422, 500, 503)},
)
async def get_result(request: Request, credentials: Credentials, id: str) -> Response:
    """The very answer that `POST /v1/audio/summaries` would have given, its failures too; 409 until it has ended."""
    service, jobs = _parts(request)
    job = await _job(jobs, id, await _owner(request, credentials))
    if job.state == SUCCEEDED:
        _, options, _ = typed_fields(_pairs(job))
        return shown(SummaryResponse.model_validate(job.result), options)
    if job.state == FAILED and job.error:
        return JSONResponse(job.error["body"], status_code=job.error["status"], headers={"x-should-retry": "false"})
    raise Conflict(
        f"The job is {job.state}." if job.ended else f"The job has not ended: it is {job.state}. Ask again later.",
        code="job_cancelled" if job.ended else "job_not_ended",
        retry_after_s=None if job.ended else service.settings.limits.retry_after_seconds,
    )


@router.post(PATH + "/{id}/cancel", summary="Cancel a job", responses=responses(401, 403, 404))
async def cancel_job(request: Request, credentials: Credentials, id: str) -> JobResponse:
    """Ends it, queued or worked on; one that has ended is left as it is. The answer is the job as it is then."""
    _, jobs = _parts(request)
    job = await jobs.cancel(id, await _owner(request, credentials))
    if job is None:
        raise _unknown(id)
    return await _told(jobs, job)


@router.get(
    PATH + "/{id}/events",
    summary="Watch a job",
    response_class=Response,
    responses={
        200: {
            "description": "The job at every change, whole once it has ended; then `[DONE]`.",
            "content": event_stream("The job, or an error.", JobResponse, ErrorResponse),
        },
        **responses(401, 403, 404),
    },
)
async def watch_job(request: Request, credentials: Credentials, id: str) -> Response:
    """Server-sent events until it has ended. Whoever comes late is told how it stands and goes on from there."""
    service, jobs = _parts(request)
    mine = await _owner(request, credentials)
    await _job(jobs, id, mine)

    async def tell(say: Say) -> None:
        told: JobResponse | None = None
        while True:
            job = await _job(jobs, id, mine)
            now = await _told(jobs, job)
            if now != told:
                say(now)
                told = now
            if job.ended:
                return
            await asyncio.sleep(LOOK_SECONDS)

    return EventStream(tell, service.settings.timeouts.keep_alive_seconds)


async def work(
    service: Service, keys: Keys, stored: StoredJob, audio: BinaryIO, tell: Callable[[Progress], None]
) -> dict[str, Any]:
    """A job's result: the body of the answer that a request would have had. Its model is the one that it would get now.
    Raises ServiceError.
    """
    fields = typed_fields(_pairs(stored))
    pick = await service.models.resolve(fields[1].model, stored.owner or stored.id)
    pick.summarizer.check(fields[1].max_tokens)
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


async def _job(jobs: Jobs, id_: str, mine: str) -> StoredJob:
    job = await jobs.store.get(id_, mine)
    if job is None:
        raise _unknown(id_)
    return job


async def _told(jobs: Jobs, job: StoredJob) -> JobResponse:
    return job_response(job, (await jobs.store.deliveries([job])).get(job.id))


def _unknown(id_: str) -> ServiceError:
    return NotFound(f"No job {quoted(id_)} of yours, or it has been forgotten.", code="job_not_found", param="id")


def _pairs(job: StoredJob) -> list[tuple[str, str]]:
    return [(name, value) for name, value in job.fields]


def _webhook(pairs: list[tuple[str, str]], jobs: Jobs) -> str | None:
    given = [value for name, value in pairs if name == WEBHOOK and value.strip()]
    if len(given) > 1:
        raise InvalidRequest(f"The field {WEBHOOK!r} is given twice.", code="duplicate_field", param=WEBHOOK)
    if not given:
        return None
    jobs.check_webhook(given[0], WEBHOOK)
    return given[0]


def _accepted(job: StoredJob, root_path: str) -> JSONResponse:
    body = job_response(job).model_dump(mode="json")
    return JSONResponse(body, status_code=202, headers={"location": f"{root_path}{PATH}/{job.id}"})


def _kept(job: StoredJob, root_path: str) -> Answer:
    response = _accepted(job, root_path)
    return kept_answer(response, bytes(response.body))
