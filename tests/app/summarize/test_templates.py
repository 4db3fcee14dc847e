"""What a template changes in a request, and how one is chosen by the recording."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.core import prompts
from app.core.errors import InvalidRequest
from app.core.prompts import Style
from app.engine.base import GenerationRequest
from app.engine.model_info import ModelInfo
from app.engine.scripted import SCRIPT, ScriptedEngine
from app.summarize.request import OutputFormat, SummaryRequest
from app.summarize.structured.output_format import MEETING_SCHEMA, schema_output_format
from app.summarize.templates import apply_template
from app.templates.builtin import BUILTIN_TEMPLATES
from app.templates.template import Template, TemplateContent
from tests.app.running_service import MODEL, serving, wav

OWN_SCHEMA = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}
PITCH = Template(
    "pitch",
    TemplateContent(
        description="A pitch.", instruction="Say what is asked for", length="60", tone="dry", json_schema=OWN_SCHEMA
    ),
)


def request_for(**options: Any) -> SummaryRequest:
    return SummaryRequest("sum-1", io.BytesIO(), **options)


def test_the_instruction_takes_the_place_of_the_default_style() -> None:
    applied = apply_template(request_for(), PITCH)
    assert applied.instruction == "Say what is asked for. Use about 60 words. Keep the tone dry."
    assert applied.template is PITCH


def test_what_the_caller_asks_for_wins() -> None:
    asked = Style(style="bullets", length="short", instructions="Name nobody", focus="the price")  # type: ignore[arg-type]
    applied = apply_template(request_for(style=asked), PITCH)
    assert applied.instruction == (
        f"{prompts.STYLE_INSTRUCTIONS[asked.style]} Say what is asked for. Use about 30 words. Focus on the price. "
        "Keep the tone dry. Name nobody."
    )


def test_a_template_with_a_style_asks_for_both() -> None:
    content = PITCH.content.model_copy(update={"style": prompts.SummaryStyle.BULLETS})
    applied = apply_template(request_for(), replace(PITCH, content=content))
    bullets = prompts.STYLE_INSTRUCTIONS[prompts.SummaryStyle.BULLETS]
    assert applied.instruction.startswith(f"{bullets} Say what is asked for.")
    assert applied.style.style is prompts.SummaryStyle.BULLETS


def test_a_question_follows_the_templates_instruction() -> None:
    applied = apply_template(request_for(custom_instruction="Who pays?"), PITCH)
    assert applied.instruction == "Say what is asked for. Use about 60 words. Keep the tone dry. Who pays?"


def test_the_notes_of_a_long_recording_are_made_for_the_template() -> None:
    assert apply_template(request_for(), PITCH).note_instruction.endswith(
        "The notes are for this request: Say what is asked for"
    )


def test_the_schema_is_used_for_json_without_a_schema_of_the_callers() -> None:
    service_json = OutputFormat("As JSON.", MEETING_SCHEMA, 1024)
    own = schema_output_format(OWN_SCHEMA, param="json_schema")
    assert apply_template(request_for(), PITCH).output_format.schema is None
    assert apply_template(request_for(output_format=service_json), PITCH).output_format.schema == OWN_SCHEMA
    assert apply_template(request_for(output_format=own), BUILTIN_TEMPLATES["lecture"]).output_format == own
    without = replace(PITCH, content=PITCH.content.model_copy(update={"json_schema": None}))
    assert apply_template(request_for(output_format=service_json), without).output_format == service_json


def test_a_stored_schema_that_can_no_longer_be_used_is_refused() -> None:
    broken = replace(PITCH, content=PITCH.content.model_copy(update={"json_schema": {"type": "array"}}))
    with pytest.raises(InvalidRequest, match="template: the schema"):
        apply_template(request_for(output_format=OutputFormat("", MEETING_SCHEMA)), broken)


def answering(name: str | None) -> Callable[[GenerationRequest], Sequence[str]]:
    """An engine's script: the name of a template where one is to be chosen, and else a summary."""

    def write(request: GenerationRequest) -> Sequence[str]:
        if request.schema is None or list(request.schema["properties"]) != ["template"]:
            return SCRIPT
        return ["no JSON"] if name is None else [json.dumps({"template": name})]

    return write


async def test_auto_asks_the_model_for_one_of_the_names() -> None:
    async with serving(ScriptedEngine(answering("sales_call"))) as site:
        answer = (await site.post(template="auto")).json()
        choosing, writing = site.engine.requests
    assert answer["template"] == "sales_call"
    assert answer["style"]["instruction"] == BUILTIN_TEMPLATES["sales_call"].content.instruction == writing.instruction
    names = [*BUILTIN_TEMPLATES, "none"]
    assert choosing.schema["properties"]["template"]["enum"] == names
    assert all(f"- {name}: " in choosing.instruction for name in names)
    assert choosing.system == prompts.SYSTEM_PROMPT
    assert (choosing.samples == writing.samples).all()
    assert choosing.shared_transcript is writing.shared_transcript, "a cascade would transcribe twice"
    assert answer["timings"]["template"] > 0
    assert answer["warnings"] == []
    plain = writing.instruction.split()
    assert answer["usage"]["completion_tokens"] == len(SCRIPT) + 1
    assert answer["usage"]["prompt_tokens"] == 2 * 50 + len(plain) + len(choosing.instruction.split())


@pytest.mark.parametrize(
    ("answer", "warning"), [("none", "no template fits the recording"), (None, "no template was named")]
)
async def test_auto_without_a_template_that_fits_says_so(answer: str | None, warning: str) -> None:
    async with serving(ScriptedEngine(answering(answer))) as site:
        summary = (await site.post(template="auto")).json()
    assert summary["template"] is None
    assert warning in summary["warnings"][0]
    assert summary["style"]["instruction"] == prompts.instruction(Style())


async def test_auto_gives_the_schema_of_the_chosen_template() -> None:
    async with serving(ScriptedEngine(answering("voicemail"))) as site:
        await site.post(template="auto", response_format="json")
        assert site.engine.requests[-1].schema == BUILTIN_TEMPLATES["voicemail"].content.json_schema


async def test_auto_on_silence_asks_the_model_nothing() -> None:
    async with serving(ScriptedEngine(answering("voicemail"))) as site:
        answer = (await site.post(wav(amplitude=0), template="auto")).json()
        assert site.engine.requests == []
    assert (answer["template"], answer["finish_reason"], answer["warnings"]) == (None, "no_speech", [])


async def test_auto_chooses_by_the_first_window_of_a_long_recording() -> None:
    model = ModelInfo("test-model", "3", "audio-llm", max_seconds=2.0, languages=("en",))
    async with serving(ScriptedEngine(answering("lecture")), model=model) as site:
        answer = (await site.post(wav(9.0), template="auto")).json()
        choosing = site.engine.requests[0]
        notes = [one for one in site.engine.requests[1:] if one.samples is not None]
    assert answer["template"] == "lecture"
    assert len(answer["windows"]) > 1
    assert len(choosing.samples) == round(16_000 * answer["windows"][0]["end"])
    assert all("The notes are for this request: Summarize this lecture" in one.instruction for one in notes)


async def test_more_templates_than_the_model_reads_are_a_warning_and_no_error() -> None:
    async with serving(ScriptedEngine(answering("lecture"), context_tokens=60)) as site:
        answer = (await site.post(template="auto")).json()
    assert answer["template"] is None
    assert "descriptions of 6 templates" in answer["warnings"][0]


async def test_a_model_that_was_not_trained_on_the_prompts_chooses_too() -> None:
    async with serving(ScriptedEngine(answering("voicemail")), model=replace(MODEL, trained=False)) as site:
        assert (await site.post(template="auto")).json()["template"] == "voicemail"
        assert site.engine.requests[0].system == prompts.UNTRAINED_STRUCTURED_SYSTEM_PROMPT
        assert "x-guidance" in site.engine.requests[0].schema
