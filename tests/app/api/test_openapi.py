"""The OpenAPI document tells the truth about the routes."""

from typing import Any

import pytest

from app.api.fields import KNOWN_FIELDS
from app.api.protocol import SummaryResponse
from app.errors import Forbidden, HeadersTooLarge, ServiceError
from tests.app.site import PATH, Site


@pytest.fixture
async def document(site: Site) -> dict[str, Any]:
    return (await site.client.get("/openapi.json")).json()


async def test_both_bodies_are_described_with_every_field(document: dict[str, Any]) -> None:
    route = document["paths"][PATH]["post"]
    content = route["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/octet-stream", "audio/*", "video/*"}
    form = content["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {"file", *KNOWN_FIELDS}
    assert form["oneOf"] == [{"required": ["file"]}, {"required": ["url"]}]
    assert content["audio/*"]["schema"]["format"] == "binary"
    query = [parameter for parameter in route["parameters"] if parameter["in"] == "query"]
    assert [parameter["name"] for parameter in query] == list(KNOWN_FIELDS)
    assert all(parameter["description"] for parameter in query)
    assert "bullets" in form["properties"]["style"]["enum"]


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
    body = route["requestBody"]["content"]["application/json"]["schema"]
    assert body["additionalProperties"] is False
    assert body["properties"]["frequency_penalty"]["enum"] == [0, None]
    assert {"messages", "stop", "user"} <= set(body["properties"])
    assert set(route["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}


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
    assert set(answer) == set(document["components"]["schemas"]["SummaryResponse"]["properties"])
    assert SummaryResponse.model_validate(answer).model_dump(mode="json") == answer


def _all_errors(kind: type[ServiceError]) -> list[type[ServiceError]]:
    return [kind, *(error for child in kind.__subclasses__() for error in _all_errors(child))]
