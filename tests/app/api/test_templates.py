"""Templates over HTTP: kept per key, and applied to summaries, jobs and chats."""

import base64
import json
from typing import Any

import pytest

from app.templates.builtin import BUILTIN_TEMPLATES
from tests.app.running_service import PATH, Site, code, serving, wav

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEMPLATES = "/v1/templates"
SCHEMA = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}
PITCH = {"description": "A pitch.", "instruction": "Say what is asked for.", "length": "about 60 words"}
AUTH = {"keys": ["anna", "bob"]}
ANNA, BOB = ({"authorization": f"Bearer {name}"} for name in ("anna", "bob"))


async def test_a_template_is_created_read_replaced_and_deleted(shared: Site) -> None:
    site = shared
    made = await site.client.post(TEMPLATES, json={"name": "pitch", **PITCH, "json_schema": SCHEMA})
    assert made.status_code == 201
    card = made.json()
    assert (card["name"], card["length"], card["json_schema"], card["built_in"]) == ("pitch", "60", SCHEMA, False)
    assert (await site.client.get(f"{TEMPLATES}/pitch")).json() == card
    replaced = await site.client.put(f"{TEMPLATES}/pitch", json={**PITCH, "instruction": "Name the price."})
    assert replaced.status_code == 200
    assert (replaced.json()["instruction"], replaced.json()["json_schema"]) == ("Name the price.", None)
    listed = (await site.client.get(TEMPLATES)).json()["data"]
    assert [one["name"] for one in listed] == [*BUILTIN_TEMPLATES, "pitch"]
    assert [one["built_in"] for one in listed] == [True] * 6 + [False]
    assert (await site.client.delete(f"{TEMPLATES}/pitch")).status_code == 204
    assert code(await site.client.get(f"{TEMPLATES}/pitch")) == (404, "template_not_found")


async def test_keys_have_templates_of_their_own() -> None:
    async with serving(auth=AUTH) as site:
        await site.client.post(TEMPLATES, json={"name": "pitch", **PITCH}, headers=ANNA)
        assert (await site.post(headers=ANNA, template="pitch")).json()["template"] == "pitch"
        assert code(await site.post(headers=BOB, template="pitch")) == (404, "template_not_found")
        assert code(await site.client.delete(f"{TEMPLATES}/pitch", headers=BOB)) == (404, "template_not_found")
        assert code(await site.client.get(TEMPLATES)) == (401, "missing_api_key")
        assert (await site.client.post(TEMPLATES, json={"name": "pitch", **PITCH}, headers=BOB)).status_code == 201


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "auto"}, (400, "invalid_field")),
        ({"name": "Pitch"}, (400, "invalid_field")),
        ({"name": "lecture"}, (409, "template_built_in")),
        ({"colour": "red"}, (400, "invalid_field")),
        ({"length": "endless"}, (400, "invalid_field")),
        ({"instruction": "x" * 2001}, (400, "invalid_field")),
        ({"instruction": "x" * 70_000}, (400, "invalid_field")),
        ({"json_schema": {"type": "array"}}, (400, "invalid_json_schema")),
        ({"json_schema": {"type": "object", "not": {}}}, (400, "invalid_json_schema")),
        ({"json_schema": {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}},
         (400, "invalid_json_schema")),
    ],
)  # fmt: skip
async def test_what_is_no_template_is_refused(shared: Site, change: dict[str, Any], expected: tuple[int, str]) -> None:
    response = await shared.client.post(TEMPLATES, json={"name": "pitch", **PITCH, **change})
    assert code(response) == expected
    assert response.json()["error"]["param"] == next(iter(change)) or expected[0] == 400
    assert code(await shared.client.get(f"{TEMPLATES}/pitch")) == (404, "template_not_found")


async def test_the_number_of_templates_is_bounded() -> None:
    async with serving(limits={"templates": 1}) as site:
        assert (await site.client.post(TEMPLATES, json={"name": "a", **PITCH})).status_code == 201
        assert code(await site.client.post(TEMPLATES, json={"name": "a", **PITCH, "tone": "dry"})) == (
            409, "template_exists",
        )  # fmt: skip
        assert code(await site.client.post(TEMPLATES, json={"name": "b", **PITCH})) == (409, "too_many_templates")


async def test_an_unknown_template_is_refused_with_the_list_before_the_recording_is_sent(shared: Site) -> None:
    refused = await shared.post(template="meeting")
    assert code(refused) == (404, "template_not_found")
    assert refused.json()["error"]["param"] == "template"
    assert all(name in refused.json()["error"]["message"] for name in (*BUILTIN_TEMPLATES, "auto"))


async def test_a_summary_is_written_by_the_template(shared: Site) -> None:
    answer = (await shared.post(template="voicemail", focus="the number")).json()
    assert answer["template"] == "voicemail"
    assert shared.engine.requests[-1].instruction == answer["style"]["instruction"]
    assert answer["style"]["instruction"].startswith(BUILTIN_TEMPLATES["voicemail"].content.instruction)
    assert answer["style"]["instruction"].endswith("Use about 40 words. Focus on the number.")
    assert answer["style"]["length"] == "40"
    assert (await shared.post()).json()["template"] is None
    text = await shared.post(template="voicemail", response_format="text")
    assert text.headers["x-summary-template"] == "voicemail"
    assert "x-summary-template" not in (await shared.post(response_format="text")).headers


async def test_json_follows_the_templates_schema(shared: Site) -> None:
    await shared.post(template="lecture", response_format="json")
    assert shared.engine.requests[-1].schema == BUILTIN_TEMPLATES["lecture"].content.json_schema
    await shared.post(template="lecture", json_schema=json.dumps(SCHEMA))
    assert shared.engine.requests[-1].schema == SCHEMA


async def test_a_chat_takes_a_template(shared: Site) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav()).decode(), "format": "wav"}}
    message = {"role": "user", "content": [sound, {"type": "text", "text": "In French."}]}
    body = {"model": "", "messages": [message], "template": "lecture"}
    answer = (await shared.client.post("/v1/chat/completions", json=body)).json()
    assert answer["speechsum"]["template"] == "lecture"
    instruction = shared.engine.requests[-1].instruction
    assert instruction == f"{BUILTIN_TEMPLATES['lecture'].content.instruction} In French."
    refused = await shared.client.post("/v1/chat/completions", json={**body, "template": "x"})
    assert code(refused) == (404, "template_not_found")


async def test_a_job_keeps_the_template_that_it_was_queued_with() -> None:
    async with serving(jobs={"workers": 1}) as site:
        await site.client.post(TEMPLATES, json={"name": "pitch", **PITCH})
        site.engine.prefill_s = 0.3
        queued = [await queue(site), await queue(site, template="pitch")]
        changed = await site.client.put(f"{TEMPLATES}/pitch", json={**PITCH, "instruction": "Something else."})
        assert changed.status_code == 200
        await site.client.delete(f"{TEMPLATES}/pitch")
        job = await wait_for_job(site, queued[1])
        assert job["summary"]["template"] == "pitch"
        assert job["summary"]["style"]["instruction"] == "Say what is asked for. Use about 60 words."
        assert code(await site.client.post(f"{PATH}/jobs", files={"file": wav()}, data={"template": "pitch"})) == (
            404, "template_not_found",
        )  # fmt: skip


async def test_a_caller_cannot_send_a_pinned_template(shared: Site) -> None:
    fields = {"template": "pitch", "template.pinned": json.dumps(PITCH)}
    response = await shared.client.post(f"{PATH}/jobs", files={"file": wav()}, data=fields)
    assert code(response) == (400, "unknown_field")


async def queue(site: Site, **fields: str) -> str:
    response = await site.client.post(f"{PATH}/jobs", files={"file": ("recording.wav", wav())}, data=fields)
    assert response.status_code == 202
    return str(response.json()["id"])


async def wait_for_job(site: Site, id_: str) -> Any:
    await site.client.get(f"{PATH}/jobs/{id_}/events")  # ends with the job
    return (await site.client.get(f"{PATH}/jobs/{id_}")).json()
