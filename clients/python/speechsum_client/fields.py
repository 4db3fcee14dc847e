"""The fields of a request for a summary, and JSON Schemas out of Pydantic models. Knows nothing about HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from pydantic import BaseModel

Schema = Mapping[str, Any] | type[BaseModel]
StyleName = Literal["paragraph", "bullets", "headline", "action_items", "minutes", "tldr"]
EffortName = Literal["normal", "high"]
TranscriptName = Literal["text", "srt", "vtt", "verbose_json"]


class SummaryFields(TypedDict, total=False):
    """What a caller can ask of a summary. What is left out, or None, is up to the service.

    style: the shape. length: `short`, `medium`, `long`, or a number of words, such as 80 or "60-80 words". focus: what
    to concentrate on. language: of the summary, as a BCP 47 tag. tone: such as formal or friendly. instructions:
    anything else. response_format: `json` also gives the summary as data in `structured`. model: `name`,
    `name@version` or an adapter's name. temperature: 0 is greedy decoding. seed: makes a sampled summary repeatable.
    max_tokens: the most tokens to write. effort: `high` writes several summaries and sends the best. transcript: sends
    the transcript beside the summary, from a model that has one. context: what is known beforehand, such as an agenda.
    vocabulary: names and terms that may occur, the most important first. questions: up to ten, which are answered in
    `answers`. keep: keeps the recording for further requests, under `recording_id`. template: name of a template, or
    `auto`; the other fields win over those of the template.
    """

    style: StyleName | None
    length: str | int | None
    focus: str | None
    language: str | None
    tone: str | None
    instructions: str | None
    response_format: Literal["verbose_json", "json"] | None
    model: str | None
    temperature: float | None
    seed: int | None
    max_tokens: int | None
    effort: EffortName | None
    transcript: TranscriptName | None
    context: str | None
    vocabulary: Sequence[str] | None
    questions: Sequence[str] | None
    keep: bool | None
    template: str | None


class QuestionFields(TypedDict, total=False):
    """How an answer to a question is written. The fields mean what they mean in `SummaryFields`."""

    model: str | None
    temperature: float | None
    seed: int | None
    max_tokens: int | None
    effort: EffortName | None
    transcript: TranscriptName | None
    context: str | None
    vocabulary: Sequence[str] | None
    keep: bool | None
    template: str | None


class TemplateFields(TypedDict, total=False):
    """What a template asks of a summary, beside its description and instruction. The fields mean what they mean in
    `SummaryFields`.
    """

    style: StyleName | None
    length: str | int | None
    focus: str | None
    language: str | None
    tone: str | None


def form_fields(fields: Mapping[str, Any], schema: Schema | None = None) -> list[tuple[str, str]]:
    """Return the fields as a form has them. Names are not checked here: the service refuses those that it does not
    know, and a later service knows more. A list is its field repeated, each text as JSON, so that the service takes no
    text for a list. schema: becomes the field `json_schema`.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    if schema is not None:
        given["json_schema"] = json.dumps(json_schema(schema))
    pairs: list[tuple[str, str]] = []
    for name, value in given.items():
        if name == "questions":
            pairs += [(name, json.dumps([one])) for one in value]
        else:
            pairs.append((name, _form_text(value)))
    return pairs


def _form_text(value: Any) -> str:
    """Return a value as a form has it: a list has an entry a line."""
    if isinstance(value, (list, tuple)):
        return "\n".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def json_schema(schema: Schema) -> dict[str, Any]:
    """Return a JSON Schema for a dictionary that is one, or for a Pydantic model.

    A model's objects are closed: with `additionalProperties` the model that writes could add what the class does not
    read. A class that says otherwise, by `extra="allow"`, is taken at its word.
    """
    if isinstance(schema, type):
        found: dict[str, Any] = _close_objects(schema.model_json_schema())
        return found
    return dict(schema)


def _close_objects(part: Any) -> Any:
    if isinstance(part, list):
        return [_close_objects(one) for one in part]
    if not isinstance(part, dict):
        return part
    closed: dict[str, Any] = {}
    for name, value in part.items():
        if name in ("properties", "$defs"):  # their keys are names that the class has chosen, not keywords
            closed[name] = {key: _close_objects(one) for key, one in value.items()}
        else:
            closed[name] = value if name in ("default", "const", "enum", "examples") else _close_objects(value)
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed
