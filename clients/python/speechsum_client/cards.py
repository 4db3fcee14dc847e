"""The typed answers that describe models, templates and vocabularies. Knows nothing about HTTP."""

from __future__ import annotations

from typing import Any

from speechsum_client.answer_parts import AnswerModel


class AudioCard(AnswerModel):
    """The recordings that a model accepts. Times are in seconds, the sampling rate is in Hz."""

    sampling_rate: int
    window_seconds: float
    max_seconds: float
    note_seconds: float
    trained_seconds: float


class Model(AnswerModel):
    """A model, or an adapter that is loaded on one. id: what the `model` of a request can name."""

    id: str
    object: str = "model"
    created: int
    owned_by: str
    name: str
    version: str
    kind: str
    loaded: bool
    state: str | None = None
    adapters: list[str]
    adapter_of: str | None = None
    description: str
    license: str | None = None
    architecture: str | None = None
    stage: str | None = None
    parent: str | None = None
    prompt_format: int | None = None
    languages: list[str]
    audio: AudioCard
    figures: dict[str, Any]


class ModelPage(AnswerModel):
    """A list of models and adapters."""

    object: str = "list"
    data: list[Model]


class Template(AnswerModel):
    """A summary template. name: what the `template` of a request can name. built_in: every caller has it, and nobody
    can change it. Times are in seconds since the Unix epoch; None for a built-in one.
    """

    name: str
    object: str = "template"
    built_in: bool
    description: str
    instruction: str
    style: str | None = None
    length: str | None = None
    focus: str | None = None
    language: str | None = None
    tone: str | None = None
    json_schema: dict[str, Any] | None = None
    created: int | None = None
    updated: int | None = None


class TemplateList(AnswerModel):
    """The built-in templates, and then those of the API key."""

    object: str = "list"
    data: list[Template]


class Vocabulary(AnswerModel):
    """The names and terms of the API key, the most important first."""

    object: str = "vocabulary"
    terms: list[str]
