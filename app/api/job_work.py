"""The work on a job: from its stored fields to the body of the answer that a request would have had.

Knows nothing about routes or about the queue.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from app.api.kept_recordings import use_recordings
from app.api.protocol import summary_response
from app.api.request_scope import background_request
from app.api.requested_templates import PINNED_FIELD, find_templates, pinned_template
from app.api.summary_fields import parse_summary_fields
from app.api.summary_upload import build_summary_request
from app.api.transcript_protocol import check_transcript
from app.jobs.runner import Progress
from app.jobs.store import Job
from app.keys.authenticator import Authenticator
from app.service import Service
from app.summarize.request import StageProgress, SummaryEvent
from app.telemetry.request_record import RequestRecord, record_request
from app.telemetry.tracing import start_span, trace_headers
from app.templates.store import TemplateStore

log = logging.getLogger(__name__)

TRACE_FIELD = "trace.parent"  # of a job: the `traceparent` of the request that queued it
BACKGROUND_PRIORITY = 1  # of a job, which waits for requests that somebody waits for; they have 0


async def process_job(
    service: Service,
    keys: Authenticator,
    templates: TemplateStore,
    job: Job,
    audio: BinaryIO,
    report_progress: Callable[[Progress], None],
) -> dict[str, Any]:
    """Return a job's result: the body of the answer that a request would have had. A job that names no version gets the
    model that a request would get now, and `template=auto` chooses from the templates that there are now. Raises
    ServiceError if there is no summary. The job has a trace and a line of the log of its own.
    """
    key = await keys.find_by_owner(job.owner)
    with _observe_job(job, key.name if key else ""):
        fields = parse_summary_fields(field_pairs(job))
        resolved_model = await service.models.resolve(fields.options.model, job.owner or job.id)
        resolved_model.summarizer.check_max_tokens(fields.options.max_tokens)
        check_transcript(service.models, resolved_model, fields.options.transcript)
        requested = pinned_template(job.fields) or await find_templates(templates, job.owner, fields.options.template)
        output_format = requested.output_format(fields.output_format)
        schema, param = output_format.schema, output_format.param
        if schema is not None and param:
            # It was checked when the job was queued, but perhaps by another version of the service. Checks are cached.
            await service.schema_workers.check_schema(schema, param)
        summary_request = build_summary_request(
            audio,
            fields,
            requested,
            started_at=time.perf_counter(),
            timeout_s=service.settings.jobs.seconds,
            priority=BACKGROUND_PRIORITY,
            owner=job.owner,
        )

        def emit(event: SummaryEvent) -> None:
            if isinstance(event, StageProgress):
                report_progress({"stage": event.stage, "done": event.done, "of": event.total})

        with background_request(service, resolved_model, keys, summary_request, int(job.created)) as admitted:
            use_recordings(service, admitted, keep=fields.options.keep, recording_id=fields.options.recording_id)
            summary = await admitted.summarize(emit)
        return summary_response(summary, resolved_model.model.info, admitted.created).model_dump(mode="json")


@contextmanager
def _observe_job(job: Job, key_name: str) -> Iterator[None]:
    """Trace what is done for a job inside the block, and log its end."""
    record = RequestRecord(job_id=job.id, key=key_name)
    link = next(({"traceparent": value} for name, value in job.fields if name == TRACE_FIELD), None)
    span = start_span("process job", "consumer", parent={}, link=link, speechsum__job_attempt=job.attempt)
    with record_request(record), span:
        try:
            yield
        finally:
            seconds = record.duration_seconds
            log.info("A job was worked on for %.1f s.", seconds, extra={"duration_seconds": round(seconds, 4)})


def field_pairs(job: Job) -> list[tuple[str, str]]:
    """Return names and values of the fields that the caller sent with a job."""
    return [(name, value) for name, value in job.fields if name not in (PINNED_FIELD, TRACE_FIELD)]


def trace_pairs() -> list[tuple[str, str]]:
    """Return what a job keeps of the trace of the request that queues it; nothing if there is no trace."""
    trace_parent = trace_headers().get("traceparent")
    return [(TRACE_FIELD, trace_parent)] if trace_parent else []
