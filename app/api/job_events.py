"""The state of a job, once or at every change, as server-sent events that a browser's EventSource can follow.

An EventSource connects again whenever a stream ends, and sends the id of the last event that it received
(`Last-Event-ID`). Only a 204 stops it (WHATWG HTML, 9.2.3), so the last event of a job has an id that marks the end.
Knows nothing about routes.
"""

import hashlib

from starlette.responses import Response

from app.api.jobs_protocol import JobResponse, job_response
from app.api.sse import EventStreamResponse, SendEvent, retry_field
from app.core.errors import NotFound
from app.jobs.queue import JobQueue
from app.jobs.store import Job
from app.server.shutdown import StopEvent

POLL_SECONDS = 0.5  # between two reads of a job that somebody watches
RETRY_SECONDS = 2  # after which a client that lost the connection connects again
RETRY_AFTER_STOP_SECONDS = 5  # the same if the service stops, so that another one can start meanwhile
END_EVENT_ID = "end"  # the id of a job's last event


async def find_job(jobs: JobQueue, id_: str, owner: str) -> Job:
    """Return the owner's job. Raises NotFound (404) if the owner has none with this id."""
    job = await jobs.store.get(id_, owner)
    if job is None:
        raise job_not_found_error(id_)
    return job


def job_not_found_error(id_: str) -> NotFound:
    """Return the error for an id with which the owner has no job."""
    return NotFound(
        f"You have no job {id_[:100]!r}, or it was deleted or has expired.", code="job_not_found", param="id"
    )


async def describe_job(jobs: JobQueue, job: Job) -> JobResponse:
    """Return the job as its owner reads it, with the state of its webhook."""
    return job_response(job, (await jobs.store.deliveries([job])).get(job.id))


async def job_event_stream(
    jobs: JobQueue, id_: str, owner: str, stop_event: StopEvent, keep_alive_s: float, last_event_id: str
) -> Response:
    """Return a stream of the job at every change, until it has ended or the service stops; or a response with status
    204 if the client has received the last event already. Raises NotFound (404) if the owner has no such job.
    """
    if (await find_job(jobs, id_, owner)).is_final and last_event_id == END_EVENT_ID:
        return Response(status_code=204)

    async def produce_events(send_event: SendEvent) -> None:
        last_sent_id = last_event_id
        while True:
            job = await find_job(jobs, id_, owner)
            response = await describe_job(jobs, job)
            event_id = END_EVENT_ID if job.is_final else _job_digest(response)
            if event_id != last_sent_id:
                send_event(response, event_id)
                last_sent_id = event_id
            if job.is_final:
                return
            if await stop_event.wait_with_timeout(POLL_SECONDS):
                stream.final_bytes = retry_field(RETRY_AFTER_STOP_SECONDS)
                return

    stream = EventStreamResponse(produce_events, keep_alive_s, RETRY_SECONDS)
    return stream


def _job_digest(job: JobResponse) -> str:
    return hashlib.sha256(job.model_dump_json().encode()).hexdigest()[:16]
