"""`speechsum ask`."""

from typing import Annotated, cast

import typer
from speechsum_client import QuestionFields

from app.cli.answers import AnswerFormat, format_summary, print_warnings
from app.cli.program import new_command_app
from app.cli.progress import Progress
from app.cli.recordings import check_recordings, display_name, recording
from app.cli.service import KeyOption, ServerOption, connect
from app.cli.summary_options import (
    ContextOption,
    EffortOption,
    JsonOption,
    ModelOption,
    TemplateOption,
    VocabularyOption,
    split_vocabulary,
)

app = new_command_app()


@app.command()
def ask(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A file, `-` for standard input, or a URL that the service may fetch.")
    ],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know, in your own words.")],
    effort: EffortOption = None,
    context: ContextOption = None,
    vocabulary: VocabularyOption = None,
    template: TemplateOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    api_key: KeyOption = None,
) -> int:
    """Answer a question about a recording.

    As with `summarize`, the model is started for this command if no service runs.
    """
    if not question.strip():
        raise typer.BadParameter("the question is empty", param_hint="QUESTION")
    terms = split_vocabulary(vocabulary)
    check_recordings([file])
    with (
        Progress() as progress,
        connect(server, api_key, progress, model=model, wants_answer=True) as connection,
    ):
        given: dict[str, str | list[str] | None] = {
            "effort": effort,
            "model": connection.model,
            "context": context,
            "vocabulary": terms,
            "template": template,
        }
        fields = cast(QuestionFields, {name: value for name, value in given.items() if value is not None})
        with progress.task("Listening, and writing the answer"):
            answer = connection.client.ask(recording(file), question, **fields)
    if as_json:
        print(format_summary(answer.summary, display_name(file), AnswerFormat.TEXT, whole=True))
    else:
        print(answer.text)
        print_warnings(answer.summary)
    return 0
