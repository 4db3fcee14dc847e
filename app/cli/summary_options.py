"""The options of every command that asks for a summary, and the fields of a request out of them."""

from typing import Annotated, Literal, cast

import typer
from speechsum_client import SummaryFields

from app.api.background_fields import split_terms
from app.cli.answers import AnswerFormat
from app.core.prompts import SummaryStyle

EffortName = Literal["normal", "high"]
TranscriptName = Literal["text", "srt", "vtt", "verbose_json"]

FilesArgument = Annotated[
    list[str],
    typer.Argument(metavar="FILE...", help="Files, `-` for standard input, or URLs that the service may fetch."),
]
StyleOption = Annotated[
    SummaryStyle | None, typer.Option("--style", help="Form of the summary. If left out, a paragraph.")
]
LengthOption = Annotated[
    str | None,
    typer.Option("--length", metavar="WORDS", help="`short`, `medium`, `long`, or words: `80`, `60-80`, `at most 60`."),
]
FocusOption = Annotated[str | None, typer.Option("--focus", metavar="TEXT", help="What to concentrate on.")]
LanguageOption = Annotated[
    str | None, typer.Option("--language", metavar="TAG", help="Language of the summary, such as `en` or `de-CH`.")
]
ToneOption = Annotated[
    str | None, typer.Option("--tone", metavar="TEXT", help="Tone of the summary, such as `formal` or `friendly`.")
]
InstructionsOption = Annotated[
    str | None,
    typer.Option("--instructions", metavar="TEXT", help="Anything else about the summary, in your own words."),
]
EffortOption = Annotated[
    EffortName | None,
    typer.Option("--effort", help="`high` writes several answers and gives the best; it takes several times as long."),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="Model that answers. If left out, the service's default.")
]
ContextOption = Annotated[
    str | None,
    typer.Option(
        "--context",
        metavar="TEXT",
        help="What you know beforehand, such as an agenda. It is no instruction to the model.",
    ),
]
VocabularyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--vocabulary",
        metavar="TERMS",
        help="Names and terms that may occur, separated by commas; may be given several times.",
    ),
]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--template",
        metavar="NAME",
        help="A summary template, such as `meeting_minutes`. With `auto` the model chooses one.",
    ),
]
TranscriptOption = Annotated[
    TranscriptName | None,
    typer.Option(
        "--transcript",
        help="Also give the transcript, from a model that has one. `verbose_json` gives it with times.",
    ),
]
QuestionOption = Annotated[
    list[str] | None,
    typer.Option("--question", metavar="TEXT", help="Also answer this question; may be given several times."),
]
FormatOption = Annotated[
    AnswerFormat,
    typer.Option("--format", help="`json` is the summary as data: title, key points, decisions, actions."),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print the service's whole answer, a line of JSON for each recording."),
]


def split_vocabulary(given: list[str] | None) -> list[str] | None:
    """Return the terms that an option names, each time several; None if there are none.

    Raises ValueError for a term that is none.
    """
    return list(split_terms("\n".join(given or ()))) or None


def check_format(format: AnswerFormat, transcript: TranscriptName | None, questions: list[str] | None) -> None:
    """Raise typer.BadParameter if the summary is printed as data, in which nothing else has a place."""
    if format is AnswerFormat.JSON and (transcript or questions):
        wanted = "--question" if questions else "--transcript"
        raise typer.BadParameter(f"the summary as data has no place for {wanted}; use --json", param_hint="--format")


def summary_fields(
    format: AnswerFormat,
    *,
    style: SummaryStyle | None,
    length: str | None,
    focus: str | None,
    language: str | None,
    tone: str | None,
    instructions: str | None,
    effort: EffortName | None,
    model: str | None,
    context: str | None,
    vocabulary: list[str] | None,
    template: str | None,
    transcript: TranscriptName | None,
    questions: list[str] | None,
) -> SummaryFields:
    """Return the fields of a request. What is None is up to the service. Raises ValueError for a term that is none."""
    given: dict[str, str | list[str] | None] = {
        "style": style and style.value,
        "length": length,
        "focus": focus,
        "language": language,
        "tone": tone,
        "instructions": instructions,
        "effort": effort,
        "model": model,
        "context": context,
        "vocabulary": split_vocabulary(vocabulary),
        "template": template,
        "transcript": transcript,
        "questions": questions or None,
        "response_format": "json" if format is AnswerFormat.JSON else None,
    }
    return cast(SummaryFields, {name: value for name, value in given.items() if value is not None})
