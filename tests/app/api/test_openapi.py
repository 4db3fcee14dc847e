"""The OpenAPI document tells the truth about the routes."""

import json
import re
from typing import Any

import openapi_spec_validator
import pytest
from jsonschema import Draft202012Validator

from app.api.chat_parameters import NEUTRAL_VALUES
from app.api.protocol import SummaryResponse
from app.api.summary_fields import KNOWN_FIELDS
from app.core.errors import Forbidden, HeadersTooLarge, ServiceError
from app.engine.scripted import ScriptedEngine
from app.main import create_app
from tests.app.running_service import MODEL, PATH, Site, WaveDecoder, settings_for


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document as it is served."""
    app = create_app(settings_for(), ScriptedEngine(), MODEL, WaveDecoder())
    return dict(json.loads(json.dumps(app.openapi())))


async def test_both_bodies_are_described_with_every_field(document: dict[str, Any]) -> None:
    route = document["paths"][PATH]["post"]
    content = route["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/octet-stream"}
    form = resolve_reference(document, content["multipart/form-data"]["schema"])
    assert set(form["properties"]) == {"file", *KNOWN_FIELDS}
    assert content["application/octet-stream"]["schema"]["format"] == "binary"
    query = [parameter for parameter in route["parameters"] if parameter["in"] == "query"]
    assert [parameter["name"] for parameter in query] == list(KNOWN_FIELDS)
    assert all(parameter["description"] for parameter in query)
    assert "bullets" in resolve_reference(document, form["properties"]["style"])["enum"]


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        ({"file": "x"}, True),
        ({"url": "https://audio.example.org/x.wav", "style": "bullets"}, True),
        ({}, False),
        ({"style": "bullets"}, False),
        ({"file": "x", "url": "https://audio.example.org/x.wav"}, False),
        ({"file": "x", "colour": "red"}, False),
        ({"recording_id": "rec-0", "questions": ["Who?", "When?"]}, True),
        ({"recording_id": "rec-0", "file": "x"}, False),
        ({"recording_id": "rec-0", "url": "https://audio.example.org/x.wav"}, False),
        ({"file": "x", "questions": ["?"] * 11}, False),
        ({"file": "x", "questions": ["?" * 501]}, False),
    ],
)
async def test_a_form_holds_a_recording_or_its_address(
    document: dict[str, Any], sent: dict[str, Any], taken: bool
) -> None:
    form = {**document["components"]["schemas"]["SummaryForm"], "components": document["components"]}
    assert Draft202012Validator(form).is_valid(sent) is taken


async def test_the_document_is_served(site: Site, document: dict[str, Any]) -> None:
    assert (await site.client.get("/openapi.json")).json() == document


async def test_it_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    openapi_spec_validator.validate(document)


async def test_operations_have_plain_names_of_their_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z]+([A-Z][a-z]+)*", name) for name in names), names
    assert {"createSummary", "createChatCompletion", "createJob", "listJobs", "getModel", "listModels"} <= set(names)


async def test_no_shape_is_described_that_is_never_sent(document: dict[str, Any]) -> None:
    assert "ValidationError" not in json.dumps(document)
    assert "422" not in document["paths"]["/v1/models/{model}"]["get"]["responses"]


async def test_nothing_optional_has_a_default_that_a_page_would_fill_in(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        assert not [name for name, field in schema.get("properties", {}).items() if "default" in field]
    query = document["paths"][PATH]["post"]["parameters"]
    assert not [one["name"] for one in query if "default" in one["schema"] or "anyOf" in one["schema"]]


async def test_answers_and_errors_are_described(document: dict[str, Any]) -> None:
    responses = document["paths"][PATH]["post"]["responses"]
    assert set(responses) == {"200", "400", "401", "403", "404", "408", "409", "413", "415", "422", "429", "500", "503"}
    assert set(responses["200"]["content"]) == {
        "application/json",
        "text/event-stream",
        "text/markdown",
        "text/plain",
    }
    reference = {"$ref": "#/components/schemas/ErrorResponse"}
    for status in set(responses) - {"200"}:
        assert responses[status]["content"]["application/json"]["schema"] == reference
    # A head that is too large has been refused before there is a route.
    elsewhere = (Forbidden, HeadersTooLarge)
    statuses = {str(error.status) for error in _all_errors(ServiceError) if error not in elsewhere}
    assert statuses <= set(responses)


@pytest.mark.parametrize("path", [PATH, f"{PATH}/jobs", "/v1/chat/completions"])
async def test_a_repeat_by_its_key_is_described(document: dict[str, Any], path: str) -> None:
    route = document["paths"][path]["post"]
    (key,) = [parameter for parameter in route["parameters"] if parameter["in"] == "header"]
    assert key["name"] == "Idempotency-Key"
    assert "409" in route["responses"]


async def test_a_chat_is_described_as_it_is_taken(document: dict[str, Any]) -> None:
    route = document["paths"]["/v1/chat/completions"]["post"]
    content = route["requestBody"]["content"]["application/json"]
    body = resolve_reference(document, content["schema"])
    assert body["additionalProperties"] is False
    assert {"messages", "stop", "user"} <= set(body["properties"])
    described = Draft202012Validator({**body, "components": document["components"]})
    assert described.is_valid(content["example"])
    for name, values in NEUTRAL_VALUES.items():
        for value in values:
            assert described.is_valid({**content["example"], name: value}), (name, value)
    for wrong in (
        {"tools": [{"type": "function"}]},
        {"logprobs": True},
        {"frequency_penalty": 1},
        {"modalities": ["audio"]},
        {"audio": {}},
        {"colour": "red"},
    ):
        assert not described.is_valid({**content["example"], **wrong}), wrong
    assert set(route["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        (PATH, {"audio.summary.progress", "audio.summary.delta", "audio.summary.done"}),
        ("/v1/chat/completions", {"chat.completion.chunk"}),
    ],
)
async def test_every_event_is_as_described(site: Site, document: dict[str, Any], path: str, kinds: set[str]) -> None:
    operation = document["paths"][path]["post"]
    media = operation["responses"]["200"]["content"]["text/event-stream"]
    assert media["schema"]["type"] == "string"
    data = media["x-itemSchema"]["properties"]["data"]["anyOf"][1]
    described = Draft202012Validator({**data["contentSchema"], "components": document["components"]})
    if path == PATH:
        stream = (await site.post(stream="true")).text
    else:
        example = operation["requestBody"]["content"]["application/json"]["example"]
        stream = (await site.client.post(path, json={**example, "stream": True})).text
    events = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    told = [json.loads(event) for event in events]
    for event in told:
        described.validate(event)
    assert {event["object"] for event in told} == kinds


async def test_the_example_of_a_chat_is_accepted_as_it_stands(site: Site, document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]
    answer = await site.client.post("/v1/chat/completions", json=content["example"])
    assert answer.status_code == 200
    assert content["example"]["model"] == "test-model"


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [ref for key, child in node.items() for ref in references(child)]
        return [ref for child in node for ref in references(child)] if isinstance(node, list) else []

    found = references(document)
    assert found
    for reference in found:
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


async def test_an_answer_fits_its_description(site: Site, document: dict[str, Any]) -> None:
    answer = (await site.post()).json()
    schema = document["components"]["schemas"]["SummaryResponse"]
    assert set(answer) == set(schema["properties"]) == set(schema["required"]), "all is always sent"
    assert SummaryResponse.model_validate(answer).model_dump(mode="json") == answer


def resolve_reference(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """What a reference leads to."""
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return found


def _all_errors(kind: type[ServiceError]) -> list[type[ServiceError]]:
    return [kind, *(error for child in kind.__subclasses__() for error in _all_errors(child))]
