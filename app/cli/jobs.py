"""`speechsum jobs`: the commands `list`, `submit`, `show`, `wait` and `cancel`, against a running service."""

import sys
from itertools import islice
from typing import Annotated, Literal

import typer
from speechsum_client import Job, JobInfo

from app.cli.answers import AnswerFormat, format_summary, job_line, job_text, print_warnings
from app.cli.errors import describe_error
from app.cli.program import new_command_app
from app.cli.progress import Progress, stage_text
from app.cli.recordings import check_recordings, display_name, recording
from app.cli.service import KeyOption, ServerOption, connect
from app.cli.summary_options import (
    ContextOption,
    EffortOption,
    FilesArgument,
    FocusOption,
    FormatOption,
    InstructionsOption,
    JsonOption,
    LanguageOption,
    LengthOption,
    ModelOption,
    QuestionOption,
    StyleOption,
    TemplateOption,
    ToneOption,
    TranscriptOption,
    VocabularyOption,
    summary_fields,
)

app = new_command_app("Queue recordings on a service, and look after them.")
JobId = Annotated[str, typer.Argument(metavar="ID", help="The id of the job, as `jobs submit` prints it.")]
JobJson = Annotated[bool, typer.Option("--json", help="Print what the service says about a job as a line of JSON.")]


@app.command("list", short_help="List the jobs of your API key.")
def list_(
    state: Annotated[
        Literal["queued", "running", "succeeded", "failed", "cancelled"] | None,
        typer.Option("--state", help="Only jobs in this state."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="N", help="Most jobs to list, the newest first.")
    ] = 20,
    as_json: JobJson = False,
    server: ServerOption = None,
    api_key: KeyOption = None,
) -> None:
    """List the jobs of your API key, the newest first. Jobs that were queued without a key are not listed: they are
    found by their id.
    """
    with Progress() as progress, connect(server, api_key, progress) as connection:
        jobs = islice(connection.client.jobs(state=state, page_size=min(limit, 100)), limit)
        for job in jobs:
            print(job.info.model_dump_json() if as_json else job_line(job.info))


@app.command(short_help="Queue recordings and print the ids of their jobs.")
def submit(
    files: FilesArgument,
    style: StyleOption = None,
    length: LengthOption = None,
    focus: FocusOption = None,
    language: LanguageOption = None,
    tone: ToneOption = None,
    instructions: InstructionsOption = None,
    effort: EffortOption = None,
    context: ContextOption = None,
    vocabulary: VocabularyOption = None,
    template: TemplateOption = None,
    transcript: TranscriptOption = None,
    question: QuestionOption = None,
    model: ModelOption = None,
    as_data: Annotated[
        bool, typer.Option("--as-data", help="Also write the summary as data, which `jobs wait --format json` prints.")
    ] = False,
    webhook_url: Annotated[
        str | None,
        typer.Option("--webhook-url", metavar="URL", help="URL that the service calls when the job has ended."),
    ] = None,
    as_json: JobJson = False,
    server: ServerOption = None,
    api_key: KeyOption = None,
) -> int:
    """Queue recordings and print the id of each job. A job outlives this command and restarts of the service."""
    check_recordings(files)
    fields = summary_fields(
        AnswerFormat.JSON if as_data else AnswerFormat.TEXT,
        style=style,
        length=length,
        focus=focus,
        language=language,
        tone=tone,
        instructions=instructions,
        effort=effort,
        model=model,
        context=context,
        vocabulary=vocabulary,
        template=template,
        transcript=transcript,
        questions=question,
    )
    status = 0
    with Progress() as progress, connect(server, api_key, progress) as connection:
        for file in files:
            try:
                with progress.task("Sending the recording", display_name(file) if len(files) > 1 else ""):
                    job = connection.client.create_job(recording(file), webhook_url=webhook_url, **fields)
            except Exception as error:
                text, failed = describe_error(error)
                print(f"speechsum: {display_name(file)}: {text}", file=sys.stderr)
                status = status or failed
            else:
                print(job.info.model_dump_json() if as_json else job.id, flush=True)
    return status


@app.command(short_help="Show a job's state and progress.")
def show(id: JobId, as_json: JobJson = False, server: ServerOption = None, api_key: KeyOption = None) -> None:
    """Show the state of a job, its progress, and its error if it has failed."""
    with Progress() as progress, connect(server, api_key, progress) as connection:
        info = connection.client.job(id).info
    print(info.model_dump_json() if as_json else job_text(info))


@app.command("wait", short_help="Wait for a job and print its summary.")
def wait_(
    id: JobId,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0, metavar="SECONDS", help="Seconds to wait at most.")
    ] = None,
    format: FormatOption = AnswerFormat.TEXT,
    as_json: JsonOption = False,
    server: ServerOption = None,
    api_key: KeyOption = None,
) -> None:
    """Wait until a job has ended, and print its summary."""
    with Progress() as progress, connect(server, api_key, progress) as connection:
        job = connection.client.job(id)
        with progress.task(_describe(job.info)) as task:

            def show_progress(info: JobInfo) -> None:
                done, of = (info.progress.done, info.progress.of) if info.progress else (None, None)
                task.describe(_describe(info), done, of)

            summary = job.wait(timeout, show_progress)
    print(format_summary(summary, id, format, whole=as_json))
    if format is AnswerFormat.TEXT or not summary.summary:
        print_warnings(summary)


@app.command(short_help="Cancel a job.")
def cancel(id: JobId, as_json: JobJson = False, server: ServerOption = None, api_key: KeyOption = None) -> None:
    """Cancel a job that has not ended, and print its state."""
    with Progress() as progress, connect(server, api_key, progress) as connection:
        job: Job = connection.client.job(id)
        info = job.cancel()
    print(info.model_dump_json() if as_json else info.state)


def _describe(info: JobInfo) -> str:
    if info.progress is not None and info.state == "running":
        return stage_text(info.progress.stage)
    return "Waiting in the queue" if info.state == "queued" else f"The job is {info.state}"
