"""The options of every command that asks for a summary, and the fields of a request out of them."""

from typing import Annotated, Literal, cast

import typer
from speechsum_client import SummaryFields

from app.cli.answers import AnswerFormat
from app.core.prompts import SummaryStyle

EffortName = Literal["normal", "high"]

StyleOption = Annotated[
    SummaryStyle | None, typer.Option("--style", help="Shape of the summary; a paragraph without it.")
]
LengthOption = Annotated[
    str | None,
    typer.Option("--length", metavar="WORDS", help="`short`, `medium`, `long`, or words: `80`, `60-80`, `at most 60`."),
]
FocusOption = Annotated[str | None, typer.Option("--focus", metavar="TEXT", help="What to concentrate on.")]
LanguageOption = Annotated[
    str | None, typer.Option("--language", metavar="TAG", help="Language of the summary, such as `en` or `de-CH`.")
]
ToneOption = Annotated[str | None, typer.Option("--tone", metavar="TEXT", help="Such as `formal` or `friendly`.")]
InstructionsOption = Annotated[
    str | None, typer.Option("--instructions", metavar="TEXT", help="Anything else, in your own words.")
]
EffortOption = Annotated[
    EffortName | None,
    typer.Option(
        "--effort", help="`high` writes several summaries and prints the best; it takes several times as long."
    ),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="Which model answers; the service's default without it.")
]
FormatOption = Annotated[
    AnswerFormat,
    typer.Option("--format", help="`json` is the summary as data: title, key points, decisions, actions."),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print the service's whole answer, a line of JSON for each recording."),
]


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
) -> SummaryFields:
    """Return the fields of a request. What is None is up to the service."""
    given: dict[str, str | None] = {
        "style": style and style.value,
        "length": length,
        "focus": focus,
        "language": language,
        "tone": tone,
        "instructions": instructions,
        "effort": effort,
        "model": model,
        "response_format": "json" if format is AnswerFormat.JSON else None,
    }
    return cast(SummaryFields, {name: value for name, value in given.items() if value is not None})
