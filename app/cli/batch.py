"""`speechsum batch`: an archive of recordings, on a Ray cluster or with a Ray of its own."""

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.answers import AnswerFormat
from app.cli.configuration import load_settings, start_logging
from app.cli.errors import CommandError
from app.cli.exit_statuses import FAILED, NO_SERVICE, SOME_FAILED, USAGE_ERROR
from app.cli.program import new_command_app
from app.cli.progress import Progress, clock_text
from app.cli.summary_options import (
    ContextOption,
    EffortOption,
    FocusOption,
    InstructionsOption,
    LanguageOption,
    LengthOption,
    QuestionOption,
    StyleOption,
    TemplateOption,
    ToneOption,
    TranscriptOption,
    VocabularyOption,
    summary_fields,
)
from app.settings import Settings

if TYPE_CHECKING:
    from app.batch.rows import Row

app = new_command_app()


@app.command()
def batch(
    archive: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A folder, also `s3://bucket/folder`; a Parquet file with a column of URIs; or one recording.",
        ),
    ],
    out: Annotated[
        str, typer.Option("--out", metavar="FOLDER", help="Where the rows are written; also `s3://bucket/folder`.")
    ],
    file_format: Annotated[
        Literal["parquet", "jsonl"], typer.Option("--file-format", help="Format of the rows.")
    ] = "parquet",
    pattern: Annotated[
        str, typer.Option("--pattern", metavar="GLOB", help="Which files of a folder are recordings, such as `*.mp3`.")
    ] = "*",
    column: Annotated[
        str, typer.Option("--column", metavar="NAME", help="Column of a Parquet file that has the URIs.")
    ] = "uri",
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Try again the recordings whose row is an error.")
    ] = False,
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
    as_data: Annotated[
        bool, typer.Option("--as-data", help="Write the summaries as data, into the column `structured`.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Also keep the whole answer as the service gives it, in the column `answer`."),
    ] = False,
    transcript: TranscriptOption = None,
    question: QuestionOption = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Model that answers. If left out, that of the settings."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="ADDRESS",
            help="Ray cluster: `auto`, `host:port` or `ray://host:port`. Without it, that of RAY_ADDRESS; without "
            "that, Ray is started on this machine for this run.",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, metavar="N", help="Copies of the model that are there from the start.")
    ] = 1,
    max_workers: Annotated[
        int | None,
        typer.Option("--max-workers", min=1, metavar="N", help="Copies of the model at most; --workers without it."),
    ] = None,
    cpus_per_worker: Annotated[
        float, typer.Option("--cpus-per-worker", min=0, metavar="N", help="CPUs that each copy reserves.")
    ] = 1,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, metavar="N", help="Recordings that each copy has in work at once.")
    ] = 16,
) -> int:
    """Summarize an archive of recordings: a row for each recording, in Parquet or JSON lines.

    A recording that cannot be summarized has its error in its row. The same command goes on where an interrupted one
    has stopped.
    """
    if (transcript or question) and not as_json:
        wanted = "--transcript" if transcript else "--question"
        raise typer.BadParameter("the rows have a place for it only with --json", param_hint=wanted)
    if max_workers is not None and max_workers < workers:
        raise typer.BadParameter(f"it is less than --workers, which is {workers}", param_hint="--max-workers")
    settings = load_settings(model=model)
    start_logging(settings)
    fields = summary_fields(
        AnswerFormat.JSON if as_data else AnswerFormat.TEXT,
        style=style,
        length=length,
        focus=focus,
        language=language,
        tone=tone,
        instructions=instructions,
        effort=effort,
        model=None,
        context=context,
        vocabulary=vocabulary,
        template=template,
        transcript=transcript,
        questions=question,
    )
    from functools import partial

    from app.batch.inputs import list_recordings
    from app.batch.output_folder import OutputFolder
    from app.batch.ray_install import RayMissing, import_ray
    from app.batch.ray_run import BatchFailed, ClusterUnreachable, Workers, ray_cluster, summarize_archive
    from app.batch.summarizer import BatchWork, check_fields
    from app.core.errors import ServiceError
    from app.models.model_source import find_model

    pairs = _field_pairs(fields)
    try:
        check_fields(pairs, settings)
    except ServiceError as error:
        raise CommandError(error.message, USAGE_ERROR) from error
    info = find_model(settings, settings.model).info
    if "/" not in settings.model:
        # The default may differ when an interrupted batch goes on; and all workers must have the same.
        settings = settings.model_copy(update={"model": info.id if settings.model != "scripted" else settings.model})
    found = list_recordings(archive, pattern=pattern, column=column, leave_out=out)
    if found.repeated:
        _note(f"{archive} names {found.repeated} recordings again; each has one row.")
    asked = {"model": info.id, "fields": pairs, "whole_answer": as_json}
    with ExitStack() as resources:
        try:
            import_ray()  # before the folder is touched
            output = resources.enter_context(OutputFolder(out, file_format, asked))
            if retry_errors and (forgotten := output.forget_errors()):
                _note(f"{forgotten} recordings whose row was an error are tried again.")
            waiting = [uri for uri in found.uris if uri not in output.finished]
            if len(waiting) < len(found.uris):
                _note(f"{len(found.uris) - len(waiting)} of {len(found.uris)} recordings have a row already.")
            report = resources.enter_context(_Report(len(waiting)))
            if waiting:
                ray = resources.enter_context(ray_cluster(address))
                pool = Workers(workers, max_workers or workers, cpus_per_worker, _gpus_per_worker(ray, settings))
                work = BatchWork(settings, pairs, parallel, as_json)
                summarize_archive(ray, waiting, work, partial(find_model, settings), pool, output, report.add_row)
        except RayMissing as error:
            raise CommandError(str(error), USAGE_ERROR) from error
        except ClusterUnreachable as error:
            raise CommandError(str(error), NO_SERVICE) from error
        except BatchFailed as error:
            raise CommandError(str(error), FAILED) from error
    report.print_end(out, output.errors)
    return SOME_FAILED if output.errors else 0


def _gpus_per_worker(ray: Any, settings: Settings) -> int:
    """Return how many GPUs a copy of the model takes: none if the cluster has none now, or the settings say so."""
    engine = settings.engine
    if engine.device == "cpu" or not ray.cluster_resources().get("GPU"):
        return 0
    return engine.tensor_parallel_size * engine.data_parallel_size


def _field_pairs(fields: Any) -> list[tuple[str, str]]:
    """Return the fields of a request as a form has them."""
    pairs: list[tuple[str, str]] = []
    for name, value in fields.items():
        if name == "questions":
            pairs += [(name, one) for one in value]
        else:
            pairs.append((name, "\n".join(value) if isinstance(value, list) else value))
    return pairs


def _note(text: str) -> None:
    print(f"speechsum: {text}", file=sys.stderr)


class _Report:
    """What the batch has done so far, on a line of the terminal and at the end."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._rows, self._errors, self._audio_s = 0, 0, 0.0
        self._started_at = time.monotonic()
        self._resources = ExitStack()

    def __enter__(self) -> "_Report":
        progress = self._resources.enter_context(Progress())
        self._task = self._resources.enter_context(progress.task("Loading the model"))
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def add_row(self, row: "Row") -> None:
        """Count a row and show it."""
        self._rows += 1
        self._errors += row["error_code"] is not None
        self._audio_s += row["audio_seconds"] or 0.0
        self._task.describe("Summarizing", self._rows, self._total)

    def print_end(self, place: str, errors: int) -> None:
        """Say what was done. errors: the rows in the folder that are errors."""
        took_s = time.monotonic() - self._started_at
        speed = f", {self._audio_s / took_s:.1f} times as fast as they are long" if self._rows and took_s > 1 else ""
        _note(
            f"{self._rows} recordings ({clock_text(self._audio_s)} of audio) in {clock_text(took_s)}{speed}. The rows "
            f"are in {place}."
        )
        if errors:
            _note(f"{errors} of the rows there are errors; --retry-errors tries them again.")
