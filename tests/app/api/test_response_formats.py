"""The same summary in words, as data, alone."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from app.core import prompts
from app.engine.base import GenerationRequest
from app.engine.model_info import ModelInfo
from app.engine.scripted import ScriptedEngine
from app.summarize.structured.output_format import MEETING_SCHEMA, with_spaces
from model_repo.registry import list_models
from tests.app.running_service import MODEL, PATH, Site, code, serving, wav
from tests.app.summarize.test_long_audio import minutes

OWN = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}


def data(request: GenerationRequest) -> Sequence[str]:
    """What an engine that enforces the schema would write."""
    if request.schema is None:
        return ["in ", "words"]
    return ['{"mood":', '"calm"}'] if "mood" in request.schema["properties"] else ['{"title"', ": 1}"]


@pytest.mark.parametrize("asked", [{}, {"response_format": "verbose_json"}])
async def test_words_are_the_default(site: Site, asked: dict[str, str]) -> None:
    answer = (await site.post(**asked)).json()
    assert answer["summary"] == "A scripted summary of what was said."
    assert answer["structured"] is None
    assert site.engine.requests[-1].schema is None


@pytest.mark.parametrize(("name", "media"), [("text", "text/plain"), ("markdown", "text/markdown")])
async def test_the_summary_alone_says_the_rest_in_headers(site: Site, name: str, media: str) -> None:
    site.decoder.warnings = ["Faint \u2026"]
    response = await site.post(response_format=name)
    assert response.text == "A scripted summary of what was said."
    assert response.headers["content-type"].startswith(media)
    assert response.headers["x-summary-model"] == "test-model@3"
    assert response.headers["x-summary-complete"] == "true"
    assert response.headers["x-summary-finish-reason"] == "stop"
    assert json.loads(response.headers["x-summary-warnings"]) == ["Faint \u2026"]
    assert (prompts.MARKDOWN_INSTRUCTION in site.engine.requests[-1].instruction) == (name == "markdown")


async def test_json_is_enforced_by_the_meetings_schema() -> None:
    async with serving(ScriptedEngine(data)) as site:
        answer = (await site.post(response_format="json")).json()
        request = site.engine.requests[-1]
        assert request.schema == MEETING_SCHEMA
        assert prompts.STRUCTURED_INSTRUCTION in request.instruction
        assert request.system == prompts.SYSTEM_PROMPT
        assert request.instruction == answer["style"]["instruction"]
        assert request.max_tokens == 1024
        assert answer["structured"] is None, "this scripted engine writes what no schema allows"
        assert any("does not follow the schema" in warning for warning in answer["warnings"])


async def test_a_model_that_was_not_trained_on_the_prompts_is_asked_for_data_in_other_words() -> None:
    async with serving(ScriptedEngine(data), model=replace(MODEL, trained=False)) as site:
        answer = (await site.post(response_format="json")).json()
        assert answer["style"]["instruction"].endswith(prompts.UNTRAINED_STRUCTURED_INSTRUCTION)
        await site.post(json_schema=json.dumps(OWN))
        await site.post()
        as_meeting, as_own, in_words = site.engine.requests[-3:]
        assert as_meeting.instruction == answer["style"]["instruction"]
        assert (as_meeting.system, as_own.system) == (
            prompts.UNTRAINED_STRUCTURED_SYSTEM_PROMPT,
            prompts.UNTRAINED_STRUCTURED_SYSTEM_PROMPT,
        )
        assert (as_meeting.schema, as_own.schema) == (with_spaces(MEETING_SCHEMA), with_spaces(OWN))
        assert in_words.system == prompts.SYSTEM_PROMPT, "summaries in words are asked for as they were measured"


def test_a_model_of_the_registry_counts_as_trained_unless_it_is_served_as_published() -> None:
    served = [ModelInfo.from_manifest(manifest) for manifest in list_models()]
    assert {model.id: model.trained for model in served} == {
        "cascade-base@1": False,
        "cascade-base@2": True,
        "cascade-large@1": True,
        "cascade-tiny@2": True,
        "speechsum-tiny@8": True,
    }


@pytest.mark.parametrize("more", [{}, {"response_format": "json"}])
async def test_ones_own_schema_is_in_the_prompt_and_enforced(more: dict[str, str]) -> None:
    async with serving(ScriptedEngine(data)) as site:
        answer = (await site.post(json_schema=json.dumps(OWN), **more)).json()
        assert answer["structured"] == {"mood": "calm"}
        assert json.loads(answer["summary"]) == {"mood": "calm"}
        assert answer["warnings"] == []
        request = site.engine.requests[-1]
        assert request.schema == OWN
        assert '"mood"' in request.instruction


async def test_of_a_long_recording_only_the_last_answer_is_data() -> None:
    async with serving(ScriptedEngine(data)) as site:
        site.service.summarizer.find_speech = minutes
        answer = (await site.post(wav(130), json_schema=json.dumps(OWN))).json()
        assert answer["structured"] == {"mood": "calm"}
        assert [one["note"] for one in answer["windows"]] == ["in words"] * 3
        assert [request.schema for request in site.engine.requests] == [None, None, None, OWN]


async def test_data_that_breaks_off_is_said() -> None:
    async with serving(ScriptedEngine(data)) as site:
        answer = (await site.post(json_schema=json.dumps(OWN), max_tokens="1")).json()
        assert (answer["structured"], answer["summary"], answer["finish_reason"]) == (None, '{"mood":', "length")
        assert any("broke off" in warning for warning in answer["warnings"])


async def test_a_stream_ends_with_the_data() -> None:
    async with serving(ScriptedEngine(data)) as site:
        text = (await site.post(json_schema=json.dumps(OWN), stream="true")).text
        last = json.loads(text.split("\n\n")[-3].removeprefix("data: "))
        assert last["structured"] == {"mood": "calm"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"response_format": "xml"}, "invalid_field"),
        ({"response_format": "text", "json_schema": "{}"}, "invalid_field"),
        ({"json_schema": "{}"}, "invalid_json_schema"),
        ({"json_schema": '{"type": "object", "properties": 3}'}, "invalid_json_schema"),
    ],
)
async def test_what_is_none_is_refused_before_the_engine(site: Site, fields: dict[str, str], expected: str) -> None:
    assert code(await site.post(**fields)) == (400, expected)
    assert code(await site.client.post(PATH, content=wav(), params=fields)) == (400, expected)
    assert site.engine.requests == []


async def test_silence_is_no_broken_data(site: Site) -> None:
    answer = (await site.post(wav(2, amplitude=0), response_format="json")).json()
    assert (answer["structured"], answer["warnings"], answer["finish_reason"]) == (None, [], "no_speech")
