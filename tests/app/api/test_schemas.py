"""A caller's own schema over HTTP: whatever it says, on every route that takes one, the service answers and goes on."""

import asyncio
import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from app.database.tables import JOBS
from app.engine.base import GenerationRequest
from app.engine.scripted import ScriptedEngine
from app.summarize.structured import schema_workers
from tests.app.api.test_jobs import queue_job, wait_until_ended
from tests.app.failing_tasks import dies, never_ends
from tests.app.running_service import PATH, Site, code, serving, wav

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
OPEN = {"type": "object", "properties": {"a": {"type": "integer"}}}


def object_schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def chat_body(schema: str) -> bytes:
    """A chat completion around a schema's text, which need not be JSON that Python could write."""
    audio = {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav()).decode(), "format": "wav"}}
    body = {"model": "test-model", "messages": [{"role": "user", "content": [audio]}], "response_format": "HERE"}
    response_format = {"type": "json_schema", "json_schema": {"name": "n", "schema": "SCHEMA"}}
    return json.dumps(body).replace('"HERE"', json.dumps(response_format)).replace('"SCHEMA"', schema).encode()


async def post_to_every_route(site: Site, schema: str) -> list[httpx.Response]:
    """As a form, in a query, in a chat, as a job."""
    raw = {"content": wav(), "headers": {"content-type": "audio/wav"}}
    return [
        await site.post(json_schema=schema),
        await site.client.post(PATH, params={"json_schema": schema}, **raw),
        await site.client.post(f"{PATH}/jobs", params={"json_schema": schema}, **raw),
        await site.client.post(CHAT, content=chat_body(schema), headers={"content-type": "application/json"}),
    ]


async def replace_job_schemas(site: Site, schema: dict[str, Any]) -> None:
    """Give every job a schema that is refused today."""
    async with site.jobs.database.begin() as connection:
        await connection.execute(update(JOBS).values(fields=[["json_schema", json.dumps(schema)]]))


def engine_that_answers(text: str) -> ScriptedEngine:
    """An engine that writes this, whatever it is asked."""

    def write(_: GenerationRequest) -> Sequence[str]:
        return [text]

    return ScriptedEngine(write)


@pytest.mark.parametrize(
    "schema",
    [
        object_schema(a={"const": "a" * 25 + "!", "pattern": "^(a+)+$"}),
        {**object_schema(a={"const": "a" * 40}), "if": {"properties": {"a": {"pattern": "^(\\w+)+$"}}}},
        {"type": "object", "$ref": "#"},
        object_schema(a={"allOf": [{"type": "string"}, {"type": "integer"}]}),
        object_schema(
            **{f"p{n}": {"type": "string", "pattern": "^((zaaa|[a-z]{3}){1,1000}){1,1000}$"} for n in range(100)}
        ),
        {"type": "object", "title": "\ud800"},
        object_schema(a={"type": "integer", "multipleOf": 1e-300}),
        {"type": "object", "required": ["a"], "default": float("nan")},
    ],
)
async def test_what_is_refused_is_refused_on_every_route(shared: Site, schema: dict[str, Any]) -> None:
    asked = len(shared.engine.requests)
    for response in await post_to_every_route(shared, json.dumps(schema)):
        # A lone surrogate is no JSON for the reader of chats.
        assert code(response) in ((400, "invalid_json_schema"), (400, "invalid_field"))
    assert len(shared.engine.requests) == asked


async def test_a_schema_600_levels_deep_is_refused_on_every_route(shared: Site) -> None:
    for response in await post_to_every_route(shared, '{"a":' * 600 + "1" + "}" * 600):
        assert response.status_code == 400


async def test_no_address_is_ever_asked(shared: Site) -> None:
    callers = []

    async def called(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer.get_extra_info("peername"))
        writer.close()

    async with await asyncio.start_server(called, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/schema"
        for schema in (
            object_schema(a={"$ref": address}),
            {"type": "object", "$ref": f"{address}#/a"},
            {"$id": address, **object_schema(a={"$ref": "other"})},
            {"$schema": address, "type": "object"},
            object_schema(a={"$dynamicRef": address}),
        ):
            for response in await post_to_every_route(shared, json.dumps(schema)):
                assert code(response) == (400, "invalid_json_schema")
    assert callers == []


@pytest.mark.parametrize(
    "answer",
    [
        '{"a": 1, "b": NaN}',
        '{"a": 1, "b": 1e999}',
        '{"a": 1, "b": "\\ud800"}',
        '{"a": 1, "b": ' + "[" * 2000 + "]" * 2000 + "}",
        '{"a":' * 20_000,
    ],
)
async def test_an_answer_that_is_no_strict_json_has_no_value(answer: str) -> None:
    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} in a response")

    async with serving(engine_that_answers(answer)) as site:
        summary, query, job, chat = await post_to_every_route(site, json.dumps(OPEN))
        for response in (summary, query, chat):
            assert response.status_code == 200
            whole = json.loads(response.content, parse_constant=refuse)
            about = whole.get("speechsum", whole)
            assert about["structured"] is None
            assert any("structured" in warning for warning in about["warnings"])
        done = await wait_until_ended(site, job.json()["id"])
        assert (done["state"], done["summary"]["structured"], done["attempts"]) == ("succeeded", None, 1)
        any_object = json.loads(chat_body("{}")) | {"response_format": {"type": "json_object"}}
        assert (await site.client.post(CHAT, json=any_object)).json()["speechsum"]["structured"] is None


@pytest.mark.parametrize("work", [never_ends, dies])
async def test_an_answer_whose_check_does_not_end_well_ends_the_request(
    monkeypatch: pytest.MonkeyPatch, work: Any
) -> None:
    async with serving(engine_that_answers('{"a": 1}'), limits={"schema_seconds": 0.3}) as site:
        monkeypatch.setattr(schema_workers, "parse_answer", work)
        asking = asyncio.create_task(site.post(json_schema=json.dumps(OPEN)))
        while not asking.done():
            alive = await asyncio.wait_for(site.client.get("/livez"), 2)
            assert alive.status_code == 200
            await asyncio.sleep(0.02)
        answer = asking.result().json()
        assert (answer["summary"], answer["structured"]) == ('{"a": 1}', None)
        assert any("could not be checked" in warning for warning in answer["warnings"])
        job = await wait_until_ended(site, (await queue_job(site, json_schema=json.dumps(OPEN)))["id"])
        assert (job["state"], job["attempts"], job["summary"]["structured"]) == ("succeeded", 1, None)


async def test_a_schema_whose_compiler_does_not_end_well_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(limits={"schema_seconds": 0.3}) as site:
        monkeypatch.setattr(schema_workers, "enforcement_error", never_ends)
        response = await site.post(json_schema=json.dumps(OPEN))
        assert code(response) == (400, "invalid_json_schema")
        assert "SPEECHSUM_LIMITS__SCHEMA_SECONDS" in response.json()["error"]["message"]
        assert "retry-after" not in response.headers
        await site.until_idle()


async def test_a_caller_who_leaves_takes_the_compiling_along(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(limits={"schema_seconds": 3600}) as site:
        monkeypatch.setattr(schema_workers, "enforcement_error", never_ends)
        with pytest.raises(httpx.ReadTimeout):
            await site.client.post(
                PATH, params={"json_schema": json.dumps(OPEN)}, content=wav(), timeout=httpx.Timeout(5, read=0.3)
            )
        await site.until_idle()


async def test_a_result_whose_schema_would_be_refused_today_can_still_be_had() -> None:
    async with serving(engine_that_answers('{"a": 1}')) as site:
        made = await queue_job(site, json_schema=json.dumps(OPEN))
        await wait_until_ended(site, made["id"])
        await replace_job_schemas(site, {**OPEN, "not": {}})
        result = await site.client.get(f"{PATH}/jobs/{made['id']}/result")
        assert result.json()["structured"] == {"a": 1}


async def test_json_that_repeats_itself_is_closed_and_not_called_whole() -> None:
    looped = '{"title":"A talk","summary":"The code is 5. The code is 5. The code is 5'
    engine = ScriptedEngine([looped], finish_reason="repetition")
    async with serving(engine) as site:
        answer = (await site.post(response_format="json")).json()
        assert answer["finish_reason"] == "repetition"
        assert answer["structured"]["summary"] == "The code is 5. The code is 5. The code is 5"
        assert answer["structured"]["open_questions"] == []
        assert any("key_points" in warning and "open_questions" in warning for warning in answer["warnings"])
        assert not any("sentence" in warning for warning in answer["warnings"]), "nothing is cut out of data"
        body = json.loads(chat_body(json.dumps(OPEN)))
        choice = (await site.client.post(CHAT, json=body)).json()["choices"][0]
        assert choice["finish_reason"] == "length", 'a client takes "stop" for JSON that is whole'
        streamed = (await site.client.post(CHAT, json=body | {"stream": True})).text
        assert '"finish_reason":"length"' in streamed.replace(" ", "")
        del body["response_format"]
        assert (await site.client.post(CHAT, json=body)).json()["choices"][0]["finish_reason"] == "stop"


async def test_a_job_that_an_older_version_took_fails_for_good(tmp_path: Path) -> None:
    async with serving(jobs={"folder": str(tmp_path), "workers": 0}) as site:
        waiting = (await queue_job(site))["id"]
        slow = {"properties": {"a": {"pattern": "^(\\w+)+$"}}}
        await replace_job_schemas(site, {**object_schema(a={"const": "a" * 40}), "if": slow})
    async with serving(engine_that_answers(json.dumps({"a": "a" * 40})), jobs={"folder": str(tmp_path)}) as site:
        job = await wait_until_ended(site, waiting)
        assert (job["state"], job["attempts"], job["error"]["code"]) == ("failed", 1, "invalid_json_schema")
        assert site.engine.requests == []


async def test_a_repeat_gets_the_first_ones_data_and_a_refusal_is_repeated_too() -> None:
    async with serving(engine_that_answers('{"a": 1}')) as site:
        key = {"idempotency-key": "one"}
        first = await site.post(headers=key, json_schema=json.dumps(OPEN))
        again = await site.post(headers=key, json_schema=json.dumps(OPEN))
        assert first.json()["structured"] == {"a": 1}
        assert again.content == first.content
        assert len(site.engine.requests) == 1
        for _ in range(2):
            refused = await site.post(headers={"idempotency-key": "two"}, json_schema='{"type": "object", "$ref": "#"}')
            assert code(refused) == (400, "invalid_json_schema")
