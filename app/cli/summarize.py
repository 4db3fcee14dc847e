"""`speechsum summarize`."""

import queue
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Annotated, Any, cast

import typer
from speechsum_client import ConnectionFailed, DeltaEvent, ProgressEvent, RestartEvent, Summary, SummaryFields

from app.cli.answers import AnswerFormat, format_summary, print_warnings
from app.cli.errors import CommandError, describe_error
from app.cli.exit_statuses import NO_SERVICE
from app.cli.program import new_command_app
from app.cli.progress import Progress, Task, stage_text
from app.cli.recordings import check_recordings, display_name, recording
from app.cli.service import Connection, KeyOption, ServerOption, connect
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
    check_format,
    summary_fields,
)

app = new_command_app()


EXAMPLES = """\b
Examples:
  speechsum summarize call.mp3
  speechsum summarize meeting.m4a --template meeting_minutes --language de
  speechsum summarize *.wav --style tldr --json | jq -r .summary
"""


@app.command(epilog=EXAMPLES)
def summarize(
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
    format: FormatOption = AnswerFormat.TEXT,
    as_json: JsonOption = False,
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Print the text as it is written, or when it is complete. Without either, the text of one recording "
            "is streamed to a terminal.",
        ),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, metavar="N", help="Recordings that are sent at the same time.")] = 2,
    server: ServerOption = None,
    api_key: KeyOption = None,
) -> int:
    """Summarize recordings.

    The summaries are printed on standard output, and warnings about them on standard error.

    The command asks the service that --server names, or one that runs on this machine (at http://127.0.0.1:8000, unless
    SPEECHSUM_HOST and SPEECHSUM_PORT say otherwise). If none runs, the command starts the model, which takes about a
    minute, and stops it at the end.
    """
    can_stream = len(files) == 1 and not as_json and format is AnswerFormat.TEXT and not (transcript or question)
    if not as_json:
        check_format(format, transcript, question)
    if stream and not can_stream:
        raise typer.BadParameter("only the text of one summary can be streamed", param_hint="--stream")
    check_recordings(files)
    streams = can_stream and (sys.stdout.isatty() if stream is None else stream)
    with (
        Progress() as progress,
        connect(server, api_key, progress, model=model, wants_answer=True) as connection,
    ):
        fields = summary_fields(
            format,
            style=style,
            length=length,
            focus=focus,
            language=language,
            tone=tone,
            instructions=instructions,
            effort=effort,
            model=connection.model,
            context=context,
            vocabulary=vocabulary,
            template=template,
            transcript=transcript,
            questions=question,
        )
        if streams:
            _print_stream(connection, files[0], fields, progress)
            return 0
        return _print_all(connection, files, fields, format, as_json, parallel, progress)


def _print_stream(connection: Connection, file: str, fields: SummaryFields, progress: Progress) -> None:
    """Print the text of a summary as it is written."""
    text = ""
    with progress.task("Sending the recording") as task:
        for event in connection.client.summarize_stream(recording(file), **fields):
            if isinstance(event, DeltaEvent):
                task.end()  # the terminal is the answer's from now on
                text += event.delta
                print(event.delta, end="", flush=True)
            elif isinstance(event, RestartEvent) and text:
                raise CommandError(
                    "The connection was lost in the middle of the summary, and the new one differs. Try again, with "
                    "--no-stream to get only what is complete.",
                    NO_SERVICE,
                )
            elif isinstance(event, Summary):
                # What an answer is shortened by at its end was not streamed; the whole text may differ by spaces.
                print("" if text else event.summary, flush=True)
                print_warnings(event)
            elif not text:
                _show(task, event)


def _print_all(
    connection: Connection,
    files: list[str],
    fields: SummaryFields,
    format: AnswerFormat,
    as_json: bool,
    parallel: int,
    progress: Progress,
) -> int:
    """Print the summaries in the order of their recordings. Return the exit status of the first that failed, or 0."""
    several = len(files) > 1
    status, printed = 0, 0
    for file, outcome in zip(files, _summaries(connection, files, fields, parallel, progress), strict=True):
        name = display_name(file)
        with progress.pause():
            if isinstance(outcome, Exception):
                text, failed = describe_error(outcome)
                print(f"speechsum: {name}: {text}" if several else f"speechsum: {text}", file=sys.stderr)
                status = status or failed
                continue
            answer = format_summary(outcome, name, format, whole=as_json)
            if several and format is AnswerFormat.TEXT and not as_json:
                answer = f"==> {name} <==\n{answer}"
            if printed and format is not AnswerFormat.JSON and not as_json:
                print()
            print(answer, flush=True)
            printed += 1
            if format is AnswerFormat.TEXT or not outcome.summary:
                print_warnings(outcome, name if several else "")
    return status


def _summaries(
    connection: Connection, files: list[str], fields: SummaryFields, parallel: int, progress: Progress
) -> Iterator[Summary | Exception]:
    """Yield the summaries, or what went wrong, in the order of the recordings; the next ones are sent meanwhile."""
    futures: list[Future[Summary]] = [Future() for _ in files]
    waiting = queue.SimpleQueue[int]()
    for index in range(len(files)):
        waiting.put(index)

    def work() -> None:
        with suppress(queue.Empty):
            while True:
                index = waiting.get_nowait()
                name = display_name(files[index]) if len(files) > 1 else ""
                try:
                    futures[index].set_result(_summarize(connection, files[index], fields, progress, name))
                except Exception as error:
                    futures[index].set_exception(error)

    for number in range(min(parallel, len(files))):
        # Daemons, because a pool of `concurrent.futures` would keep the program from ending at Ctrl-C.
        threading.Thread(target=work, name=f"summarize-{number}", daemon=True).start()
    for future in futures:
        error = future.exception()
        yield future.result() if error is None else cast(Exception, error)


def _summarize(connection: Connection, file: str, fields: SummaryFields, progress: Progress, name: str) -> Summary:
    with progress.task("Sending the recording", name) as task:
        for event in connection.client.summarize_stream(recording(file), **fields):
            if isinstance(event, Summary):
                return event
            _show(task, event)
    raise ConnectionFailed("The stream ended before the summary was complete.")


def _show(task: Task, event: Any) -> None:
    if isinstance(event, ProgressEvent):
        task.describe(stage_text(event.stage), event.done, event.of)
