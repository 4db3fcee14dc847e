"""How a job stands, once or at every change, as server-sent events that a browser's EventSource can follow.

An EventSource connects again whenever a stream ends, and says which event it had last (`Last-Event-ID`). Only a 204
stops it (WHATWG HTML, 9.2.3), so a job's last event has an id by which its end is known. Knows nothing about routes.
"""

import hashlib

from starlette.responses import Response

from app.api.jobs_protocol import JobResponse, job_response
from app.api.sse import EventStreamResponse, SendEvent, retry_field
from app.core.errors import NotFound
from app.jobs.queue import JobQueue
from app.jobs.store import Job
from app.server.shutdown import StopEvent

POLL_SECONDS = 0.5  # between two looks at a job that somebody watches
RETRY_SECONDS = 2  # after which a watcher that was cut off connects again
RETRY_AFTER_STOP_SECONDS = 5  # the same where the service stops, until another one is there
END_EVENT_ID = "end"  # the id of a job's last event


async def find_job(jobs: JobQueue, id_: str, owner: str) -> Job:
    """The owner's job. Raises NotFound (404)."""
    job = await jobs.store.get(id_, owner)
    if job is None:
        raise job_not_found_error(id_)
    return job


def job_not_found_error(id_: str) -> NotFound:
    """The refusal where the owner has no such job."""
    return NotFound(f"No job {id_[:100]!r} of yours, or it was deleted or forgotten.", code="job_not_found", param="id")


async def describe_job(jobs: JobQueue, job: Job) -> JobResponse:
    """The job as its owner reads it, with what became of its webhook."""
    return job_response(job, (await jobs.store.deliveries([job])).get(job.id))


async def job_event_stream(
    jobs: JobQueue, id_: str, owner: str, stop_event: StopEvent, keep_alive_s: float, last_event_id: str
) -> Response:
    """The job at every change until it has ended, or until the service stops; 204 for whoever has had the end already.
    Raises NotFound (404).
    """
    if (await find_job(jobs, id_, owner)).is_final and last_event_id == END_EVENT_ID:
        return Response(status_code=204)

    async def send_events(say: SendEvent) -> None:
        last_sent_id = last_event_id
        while True:
            job = await find_job(jobs, id_, owner)
            now = await describe_job(jobs, job)
            event_id = END_EVENT_ID if job.is_final else _job_digest(now)
            if event_id != last_sent_id:
                say(now, event_id)
                last_sent_id = event_id
            if job.is_final:
                return
            if await stop_event.wait_with_timeout(POLL_SECONDS):
                stream.final_bytes = retry_field(RETRY_AFTER_STOP_SECONDS)
                return

    stream = EventStreamResponse(send_events, keep_alive_s, RETRY_SECONDS)
    return stream


def _job_digest(job: JobResponse) -> str:
    return hashlib.sha256(job.model_dump_json().encode()).hexdigest()[:16]
