"""One training example: the recording and its transcript, the request, the summary, and the facts that a summary should
hold.

A record is one line of a JSONL file or one row of a Parquet file (`training.data.record_files`). `{"id", "audio",
"query", "summary", "transcript"}` is enough to train on; the fields that only the generator knows are optional. An
unknown field is refused, because it may be a misspelled one; anything else about a record goes into `extra`, which is
kept and never read. Knows nothing about how records are generated, spoken or used.
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from app.core.prompts import Style, instruction
from training.data.text_files import InvalidText, escape_unprintable, parse_json, value_problem
from training.facts.coverage import Fact

Split = Literal["train", "dev", "test"]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class BadRecord(ValueError):
    """The values are not a record. `problems` has a sentence for each field: what is wrong, and what is expected."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass
class Record:
    """One training example. The description of a field is also what an error message says is expected of it."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    id: Annotated[str, Field(min_length=1, description="the record's name, by which errors and results speak of it")]
    audio: Annotated[
        str | None, Field(description="a path, relative to the data file, or a URI; none for text alone")
    ] = None
    start: Annotated[Seconds | None, Field(description="seconds into the audio at which the recording begins")] = None
    end: Annotated[Seconds | None, Field(description="seconds into the audio at which it ends, after `start`")] = None
    duration_s: Annotated[Seconds | None, Field(description="its length in seconds")] = None
    language: Annotated[str, Field(description="what is spoken, a BCP 47 tag")] = "en"
    query: Annotated[str, Field(description="what is asked for; without it `style` is worded as the service does")] = ""
    transcript: Annotated[str, Field(description="what is said, as text")] = ""
    notes: Annotated[
        str, Field(description="notes on the windows of a long recording, read instead of the transcript, as text")
    ] = ""
    summary: Annotated[str, Field(description="the answer to learn, as text")] = ""
    written: Annotated[
        str | None, Field(description="what a model wrote instead, after whose words the summary is learned, as text")
    ] = None
    chosen: Annotated[str | None, Field(description="an answer that is better than `rejected`, as text")] = None
    rejected: Annotated[str | None, Field(description="an answer that is worse than `chosen`, as text")] = None
    source: Annotated[str, Field(description="where it comes from, such as a dataset's name")] = ""
    recording: Annotated[
        str | None, Field(description="the recording it is part of, where `audio` does not tell because it was cut up")
    ] = None
    license: Annotated[str, Field(description="what it may be used for")] = "unknown"
    split: Annotated[Split, Field(description="one of train, dev, test")] = "train"
    style: Annotated[
        dict[str, Any] | None, Field(description="the service's own fields (style, length, focus, …) behind the query")
    ] = None
    register: Annotated[str, Field(description="the kind of talk, as text")] = ""
    facts: Annotated[
        list[Fact], Field(description="what is said, to be counted in summaries: {kind, text, accept, core} each")
    ] = field(default_factory=list)
    turns: Annotated[
        list[tuple[int, str]], Field(description="[speaker's number, text] in order; joined they are the transcript")
    ] = field(default_factory=list)
    words: Annotated[int, Field(ge=0, description="words of the transcript; counted where it is not given")] = 0
    names: Annotated[list[str], Field(description="names said, as a list of text")] = field(default_factory=list)
    voice: Annotated[str | None, Field(description="the synthetic voices that speak it, as text")] = None
    no_speech: Annotated[
        bool, Field(description="true if nobody speaks in it, so that any summary would be an invention")
    ] = False
    extra: Annotated[dict[str, Any], Field(description="anything else, kept and never read")] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        self.words = self.words or len(self.transcript.split())

    def to_json(self) -> str:
        """Return the record as one line of JSON, without its empty fields."""
        return json.dumps(self.non_empty_fields(), ensure_ascii=False)

    def non_empty_fields(self) -> dict[str, Any]:
        """Return the fields that are neither None, False nor empty."""
        values = asdict(self).items()
        return {name: value for name, value in values if value is not False and value not in (None, "", [], {})}

    @classmethod
    def from_json(cls, line: str) -> "Record":
        """Return the record of a line that `to_json` wrote. Raises BadRecord."""
        try:
            values = parse_json(line)
        except InvalidText as error:
            raise BadRecord([str(error)]) from error
        return cls.from_fields(values)

    @classmethod
    def from_fields(cls, values: Any) -> "Record":
        """Return the record with these fields; a field that is None counts as not given. Raises BadRecord, which names
        every field that is wrong.
        """
        if not isinstance(values, Mapping):
            raise BadRecord([f"is {_short_repr(values)}; a record is a mapping of fields to values"])
        if wrong := [f"{name}: {said}" for name, value in values.items() if (said := value_problem([name, value]))]:
            raise BadRecord([escape_unprintable(one) for one in wrong])
        try:
            record = SCHEMA.validate_python({name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            raise BadRecord([_field_problem(dict(one)) for one in error.errors(include_url=False)]) from error
        if record.end is not None and record.end <= (record.start or 0):
            raise BadRecord([f"end: {record.end:g} is not after start, {record.start or 0:g}"])
        if record.style is not None:
            try:
                style = Style.model_validate(record.style)
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                raise BadRecord([f"style.{'.'.join(map(str, first['loc']))}: {first['msg']}"]) from error
            record.query = record.query or instruction(style)
        return record


SCHEMA = TypeAdapter(Record)
DESCRIPTIONS: dict[str, str] = {
    name: of["description"] for name, of in SCHEMA.json_schema()["properties"].items() if "description" in of
}


def _field_problem(error: dict[str, Any]) -> str:
    """Return what pydantic found as a sentence: the field, what is wrong, and what is expected."""
    name, *rest = map(str, error["loc"])
    where = name + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in rest)
    if error["type"] in ("missing", "missing_argument") and not rest:
        return f"{name}: is missing; expected {DESCRIPTIONS[name]}"
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden") and not rest:
        near = difflib.get_close_matches(name, [f.name for f in fields(Record)], 1)
        hint = f"did you mean {near[0]}?" if near else "what records do not know goes into `extra`"
        return f"{name}: is no field of a record; {hint}"
    message = error["msg"].removeprefix("Input ")
    return f"{where}: {_short_repr(error['input'])}: {message}; expected {DESCRIPTIONS.get(name, 'another value')}"


def _short_repr(value: Any) -> str:
    text = escape_unprintable(repr(value))
    return text if len(text) <= 60 else f"{text[:57]}…"
