"""The typed responses about jobs. Knows nothing about how jobs are worked on."""

import json
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from app.api.protocol import ErrorDetail, ResponseModel, SummaryResponse
from app.jobs.store import FINAL_STATES, Job

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class JobProgress(ResponseModel):
    """The stage that a job is in."""

    stage: str = Field(
        description="The same stages as in the progress events of a stream: decode, speech, windows, merge …"
    )
    done: int | None = Field(None, description="Number of the stage's parts that are done, if it has parts.")
    of: int | None = Field(None, description="Number of the stage's parts.")


class WebhookFacts(ResponseModel):
    """The webhook that is called when the job has ended, and the state of its delivery."""

    url: str
    state: Literal["waiting", "pending", "delivered", "dead"] = Field(
        description="`waiting`: the job has not ended; `pending`: the webhook will be called, or called again; "
        "`delivered`; `dead`: all attempts have failed."
    )
    attempts: int = 0
    said: str | None = Field(None, description="Result of the last attempt.")


class JobResponse(ResponseModel):
    """A queued recording, and its summary once that is made. Times are in seconds since the Unix epoch."""

    id: str
    object: Literal["audio.summary.job"] = "audio.summary.job"
    state: JobState
    created: int
    started: int | None = None
    finished: int | None = None
    expires: int | None = Field(None, description="When the job and its result are deleted; null until it has ended.")
    audio_bytes: int = Field(description="Size of the recording received.")
    attempts: int = Field(description="Number of attempts; more than one if a service died while it worked on the job.")
    progress: JobProgress | None = None
    summary: SummaryResponse | None = Field(
        None, description="The summary, if the job has succeeded; left out of lists."
    )
    error: ErrorDetail | None = Field(None, description="The error, if the job has failed.")
    webhook: WebhookFacts | None = None


class JobList(ResponseModel):
    """A page of jobs, newest first. The next page is the one `after` the `last_id` of this one."""

    object: Literal["list"] = "list"
    data: list[JobResponse]
    first_id: str | None
    last_id: str | None
    has_more: bool


def job_response(job: Job, delivery: dict[str, Any] | None = None, *, with_summary: bool = True) -> JobResponse:
    """Return a job as its owner reads it. delivery: the job's webhook delivery, as `JobStore.deliveries` gives it."""
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
    """Return the body, in JSON, with which a webhook reports a job that has ended."""
    assert job.state in FINAL_STATES
    event = {
        "type": f"audio.summary.job.{job.state}",
        "timestamp": datetime.fromtimestamp(job.finished or 0, UTC).isoformat(),
        "data": job_response(job).model_dump(mode="json", exclude={"webhook"}),
    }
    return json.dumps(event, separators=(",", ":"))


def _whole_seconds(time: float | None) -> int | None:
    return None if time is None else int(time)
