"""The typed fields of a request for a summary, from a form or a query. Knows nothing about how summaries are made."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from app.api.background_fields import CONTEXT_DESCRIPTION, VOCABULARY_DESCRIPTION, split_terms
from app.api.questions_field import Questions, split_list
from app.core import prompts
from app.core.background import Background
from app.core.errors import InvalidRequest, quote
from app.core.prompts import Style
from app.settings import setting_name
from app.summarize.request import Effort, OutputFormat, TranscriptFormat
from app.summarize.structured import output_format
from app.templates.template import MAX_NAME_CHARACTERS

# How much an error tells about a request with many faults.
MAX_FAULTS = 5
MAX_FAULT_CHARACTERS = 300


class SummaryOptions(BaseModel):
    """The fields of `POST /v1/audio/summaries` beside the recording and the style."""

    url: str | None = Field(
        None,
        description="URL to fetch the recording from, instead of sending it, if the service is set up to fetch. Send a "
        "signed URL in a form and not in the query, which is written to access logs.",
    )
    model: str | None = Field(
        None,
        max_length=200,
        description="`name`, `name@version` or the name of an adapter; the default model if left out.",
    )
    template: str | None = Field(
        None,
        max_length=MAX_NAME_CHARACTERS,
        description="Name of a summary template, built-in or your own; `auto` lets the model choose one by the "
        "recording. Other fields of the request win over those of the template.",
    )
    stream: bool = Field(
        False,
        description="Send the summary as it is written: as server-sent events, or with the `response_format` text or "
        "markdown as the text itself. A text whose HTTP body breaks off has failed. Only the events tell how a summary "
        "ended otherwise, and its warnings.",
    )
    temperature: float = Field(
        0.0, ge=0, le=2, allow_inf_nan=False, description="0 is greedy decoding; higher values vary more."
    )
    seed: int | None = Field(None, ge=0, lt=2**63, description="Makes a sampled summary repeatable.")
    max_tokens: int | None = Field(
        None, ge=1, description="Largest number of tokens to write; what the style needs if left out."
    )
    response_format: Literal["verbose_json", "json", "text", "markdown"] | None = Field(
        None,
        description="`verbose_json` (the default): the summary as text, with all facts about it; `json`: the same, "
        "with the summary as data in `structured`; `text`, `markdown`: the summary alone, with facts about it in "
        "headers.",
    )
    effort: Effort = Field(
        "normal",
        description="`high` writes several summaries of the recording and sends the one that the others agree with "
        "most, which takes about as many times the decoding. It does not go with `temperature`.",
    )
    json_schema: str | None = Field(
        None,
        description="With `json`, your own JSON Schema (draft 2020-12) of an object. If left out, the object has "
        "title, summary, key points, decisions, action items and open questions.",
    )
    questions: Questions = []
    keep: bool = Field(
        False,
        description="Keep the recording for further requests, if the service is set up for that: the answer has its "
        "`recording_id`.",
    )
    recording_id: str | None = Field(
        None,
        max_length=100,
        description="A recording that an earlier request has kept, instead of sending it. Send it in a form rather "
        "than in the query.",
    )
    transcript: TranscriptFormat | None = Field(
        None,
        description="Sends the transcript beside the summary, from a model that has one (a cascade): as plain text, as "
        "subtitles (`srt`, `vtt`), or in segments with their times (`verbose_json`).",
    )
    context: str | None = Field(None, description=CONTEXT_DESCRIPTION)
    vocabulary: str | None = Field(
        None, description=VOCABULARY_DESCRIPTION.format(form=", separated by commas or line breaks")
    )

    @field_validator("vocabulary")
    @classmethod
    def _check_terms(cls, value: str | None) -> str | None:
        split_terms(value or "")
        return value

    @model_validator(mode="after")
    def _require_json_for_transcript(self) -> Self:
        if self.transcript and self.response_format in ("text", "markdown"):
            raise ValueError(
                f"transcript requires response_format json or verbose_json: {self.response_format} is the summary alone"
            )
        return self

    @model_validator(mode="after")
    def _require_json_for_schema(self) -> Self:
        if self.json_schema and self.response_format not in (None, "json"):
            raise ValueError(f"json_schema requires response_format json, not {self.response_format}")
        if self.json_schema:
            self.response_format = "json"
        return self

    @model_validator(mode="after")
    def _require_json_for_answers(self) -> Self:
        if self.questions and self.response_format in ("text", "markdown"):
            raise ValueError(f"questions require an answer in JSON, not response_format {self.response_format}")
        return self

    @property
    def names_recording(self) -> str | None:
        """The field that names the recording, or None if it is sent with the request."""
        return "recording_id" if self.recording_id else "url" if self.url else None

    @property
    def output_format(self) -> OutputFormat:
        """The response format as the summarizer takes it. Raises InvalidRequest (400) if `json_schema` is invalid."""
        if self.json_schema:
            return output_format.schema_output_format(self.json_schema, param="json_schema")
        if self.response_format == "json":
            return OutputFormat(
                prompts.STRUCTURED_INSTRUCTION,
                output_format.MEETING_SCHEMA,
                output_format.STRUCTURED_TOKENS,
                untrained_prompt_suffix=prompts.UNTRAINED_STRUCTURED_INSTRUCTION,
            )
        return OutputFormat(prompts.MARKDOWN_INSTRUCTION if self.response_format == "markdown" else "")

    @property
    def background(self) -> Background:
        """What the caller knows before the recording is heard."""
        return Background((self.context or "").strip(), split_terms(self.vocabulary or ""))


KNOWN_FIELDS = (*Style.model_fields, *SummaryOptions.model_fields)
LIST_FIELDS = ("questions",)  # these may be repeated


def parse_fields(pairs: Iterable[tuple[str, str]]) -> tuple[Style, SummaryOptions]:
    """Return form fields or query parameters, validated. Blank values count as left out.

    Raises: InvalidRequest (400), which names the field, for an unknown field, a repeated one and an invalid value;
        nothing that the caller asks for is ignored.
    """
    values: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in KNOWN_FIELDS:
            known = ", ".join(KNOWN_FIELDS)
            raise InvalidRequest(
                f"Unknown field {quote(name)}. The known fields are: {known}.", code="unknown_field", param=name
            )
        if name in LIST_FIELDS:
            lists.setdefault(name, []).append(value)
            continue
        if name in values:
            raise InvalidRequest(f"The field {name!r} is given twice.", code="duplicate_field", param=name)
        values[name] = value
    given: dict[str, Any] = {name: value for name, value in values.items() if value.strip()}
    given |= {name: entries for name, entries in ((name, split_list(one)) for name, one in lists.items()) if entries}
    faults: list[Any] = []
    parsed: list[BaseModel] = []
    for model in (Style, SummaryOptions):
        try:
            parsed.append(model.model_validate({name: given[name] for name in model.model_fields if name in given}))
        except ValidationError as error:
            faults += error.errors()
    if faults:
        raise invalid_field_error(faults)
    style, options = parsed
    assert isinstance(style, Style)
    assert isinstance(options, SummaryOptions)
    return style, options


@dataclass(frozen=True)
class SummaryFields:
    """What a request asks of the summary."""

    style: Style
    options: SummaryOptions
    output_format: OutputFormat


def parse_summary_fields(pairs: Iterable[tuple[str, str]]) -> SummaryFields:
    """Validate the fields, and the caller's own JSON Schema too. Raises InvalidRequest (400) as `parse_fields` does."""
    style, options = parse_fields(pairs)
    check_effort(options.effort, temperature_given="temperature" in options.model_fields_set)
    return SummaryFields(style, options, options.output_format)


def check_effort(effort: Effort | None, *, temperature_given: bool, choice_count: int = 1) -> None:
    """Raise InvalidRequest (400) if effort `high` is combined with what it decides itself."""
    if effort != "high":
        return
    if temperature_given:
        raise InvalidRequest(
            "effort high samples at a temperature of its own, so temperature cannot be given with it. Leave one of the "
            f"two out. The service's setting is {setting_name('effort', 'temperature')}.",
            code="invalid_field",
            param="temperature",
        )
    if choice_count > 1:
        raise InvalidRequest(
            f"effort high sends the best one of several answers, and n asks for {choice_count}. Leave one of the two "
            "out.",
            code="invalid_field",
            param="n",
        )


def invalid_field_error(errors: Iterable[Any]) -> InvalidRequest:
    """Return Pydantic's errors as one error. Its `param` is the first invalid field; its message describes the first
    few faults shortly and tells how many more there are.
    """
    errors = list(errors)
    faults = [(_shorten(".".join(map(str, error["loc"]))), _shorten(error["msg"])) for error in errors[:MAX_FAULTS]]
    texts = [(f"{name}: " if name else "") + text.removeprefix("Value error, ") for name, text in faults]
    if len(errors) > MAX_FAULTS:
        texts.append(f"and {len(errors) - MAX_FAULTS} more faults")
    # A fault of the whole, such as a body that is not JSON, has no field.
    param = faults[0][0] or None if faults else None
    return InvalidRequest(f"{'; '.join(texts)}.", code="invalid_field", param=param)


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_FAULT_CHARACTERS else f"{text[: MAX_FAULT_CHARACTERS - 1]}…"
