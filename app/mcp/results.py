"""What the tools return, short enough to be read by a language model. Knows nothing about the protocol."""

from collections.abc import Sequence

from pydantic import BaseModel, Field
from speechsum_client import ChatAnswer, JobInfo, Summary, Template, UnsupportedSpan


class QuestionResult(BaseModel):
    """The answer to one of the questions beside a summary."""

    question: str
    answer: str = Field(description="The answer; empty if nobody speaks.")
    not_heard: list[str] | None = Field(description="As that of the summary, in the answer.")


class SummaryResult(BaseModel):
    """A summary of a recording."""

    summary: str = Field(description="The summary; empty if nobody speaks.")
    complete: bool = Field(description="Whether every second of speech was read.")
    warnings: list[str] = Field(description="What a reader of the summary should know.")
    not_heard: list[str] | None = Field(
        description="Names and figures in the summary that nobody said; null if the model cannot say that."
    )
    only_in_context: list[str] = Field(
        description="Those of `not_heard` that stand in the `context` or `vocabulary` of the request."
    )
    answers: list[QuestionResult] = Field(description="The answers to the questions, in their order.")
    template: str | None = Field(description="The template that was applied.")
    model: str
    audio_seconds: float


class AnswerResult(BaseModel):
    """The answer to a question about a recording."""

    answer: str
    complete: bool = Field(description="Whether every second of speech was read.")
    warnings: list[str]
    not_heard: list[str] | None
    model: str


class TemplateResult(BaseModel):
    """A summary template."""

    name: str
    description: str = Field(description="The kind of recording that it is for.")
    built_in: bool = Field(description="Whether every caller has it; else it belongs to the API key.")


class TemplateListResult(BaseModel):
    """The built-in templates, and then those of the API key."""

    templates: list[TemplateResult]


class JobResult(BaseModel):
    """A recording that was queued. Times are Unix seconds."""

    id: str
    state: str = Field(description="queued, running, succeeded, failed or cancelled.")
    created: int
    finished: int | None
    stage: str | None = Field(description="What is being done, while it runs.")
    error: str | None = Field(description="Why it failed.")
    summary: SummaryResult | None = Field(description="Its summary, once it has succeeded; not in lists.")


class JobListResult(BaseModel):
    """Jobs of the API key, newest first."""

    jobs: list[JobResult]
    has_more: bool = Field(description="Whether there are more jobs than the limit.")


def summary_result(summary: Summary) -> SummaryResult:
    """Return a summary as the tools tell it."""
    return SummaryResult(
        summary=summary.summary,
        complete=summary.complete,
        warnings=summary.warnings,
        not_heard=_not_heard(summary.unsupported),
        only_in_context=_not_heard([span for span in summary.unsupported or [] if span.in_context]) or [],
        answers=[
            QuestionResult(question=one.question, answer=one.answer, not_heard=_not_heard(one.unsupported))
            for one in summary.answers
        ],
        template=summary.template,
        model=summary.model,
        audio_seconds=summary.audio_seconds,
    )


def answer_result(answer: ChatAnswer) -> AnswerResult:
    """Return an answer as the tools tell it."""
    return AnswerResult(
        answer=answer.text,
        complete=answer.summary.complete,
        warnings=answer.summary.warnings,
        not_heard=_not_heard(answer.summary.unsupported),
        model=answer.model,
    )


def job_result(info: JobInfo) -> JobResult:
    """Return a job as the tools tell it."""
    progress = info.progress
    parts = f" {progress.done} of {progress.of}" if progress and progress.of else ""
    return JobResult(
        id=info.id,
        state=info.state,
        created=info.created,
        finished=info.finished,
        stage=f"{progress.stage}{parts}" if progress else None,
        error=info.error.message if info.error else None,
        summary=summary_result(info.summary) if info.summary else None,
    )


def template_result(template: Template) -> TemplateResult:
    """Return a template as the tools tell it."""
    return TemplateResult(name=template.name, description=template.description, built_in=template.built_in)


def _not_heard(spans: Sequence[UnsupportedSpan] | None) -> list[str] | None:
    return None if spans is None else list(dict.fromkeys(span.text for span in spans))
