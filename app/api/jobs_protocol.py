"""The typed answers about jobs. Knows nothing about how they are worked on."""

import json
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from app.api.protocol import ErrorDetail, ResponseModel, SummaryResponse
from app.jobs.store import FINAL_STATES, Job

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class JobProgress(ResponseModel):
    """What is being done with it now."""

    stage: str = Field(description="As in a stream's progress events: decode, speech, windows, merge …")
    done: int | None = Field(None, description="Parts of the stage that are done, where it has parts.")
    of: int | None = Field(None, description="How many parts it has.")


class WebhookFacts(ResponseModel):
    """Who is told when it has ended, and what became of that."""

    url: str
    state: Literal["waiting", "pending", "delivered", "dead"] = Field(
        description="`waiting`: the job has not ended; `pending`: it will be tried, or tried again; `dead`: given up."
    )
    attempts: int = 0
    said: str | None = Field(None, description="What the last try met with.")


class JobResponse(ResponseModel):
    """A recording whose summary is made when its turn comes. Times are Unix seconds."""

    id: str
    object: Literal["audio.summary.job"] = "audio.summary.job"
    state: JobState
    created: int
    started: int | None = None
    finished: int | None = None
    expires: int | None = Field(None, description="When it and its result are forgotten; null until it has ended.")
    audio_bytes: int = Field(description="Size of the recording received.")
    attempts: int = Field(description="Tries so far; more than one where a service died at it.")
    progress: JobProgress | None = None
    summary: SummaryResponse | None = Field(None, description="Once it has succeeded; not in lists.")
    error: ErrorDetail | None = Field(None, description="Once it has failed.")
    webhook: WebhookFacts | None = None


class JobList(ResponseModel):
    """A page of jobs, newest first; the next page is the one `after` its `last_id`."""

    object: Literal["list"] = "list"
    data: list[JobResponse]
    first_id: str | None
    last_id: str | None
    has_more: bool


def job_response(job: Job, delivery: dict[str, Any] | None = None, *, with_summary: bool = True) -> JobResponse:
    """A job as its owner reads it. delivery: its own, of `JobStore.deliveries`. whole: with the summary."""
    webhook = None
    if job.webhook:
        facts = delivery or {"state": "waiting", "attempt": 0, "said": None}
        webhook = WebhookFacts(url=job.webhook, state=facts["state"], attempts=facts["attempt"], said=facts["said"])
    return JobResponse(
        id=job.id,
        state=job.state,
        created=int(job.created),
        started=_whole_seconds(job.started),
        finished=_whole_seconds(job.finished),
        expires=_whole_seconds(job.expires),
        audio_bytes=job.blob_bytes,
        attempts=job.attempt,
        progress=JobProgress(stage=job.stage, done=job.done, of=job.of) if job.stage and not job.is_final else None,
        summary=SummaryResponse.model_validate(job.result) if with_summary and job.result else None,
        error=ErrorDetail(**job.error["body"]["error"]) if job.error else None,
        webhook=webhook,
    )


def webhook_body(job: Job) -> str:
    """What a webhook says of a job that has ended."""
    assert job.state in FINAL_STATES
    event = {
        "type": f"audio.summary.job.{job.state}",
        "timestamp": datetime.fromtimestamp(job.finished or 0, UTC).isoformat(),
        "data": job_response(job).model_dump(mode="json", exclude={"webhook"}),
    }
    return json.dumps(event, separators=(",", ":"))


def _whole_seconds(time: float | None) -> int | None:
    return None if time is None else int(time)
