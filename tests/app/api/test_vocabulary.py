"""The vocabulary of an API key: kept for it alone, and behind the terms of each of its requests."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.app.api.test_chat import messages
from tests.app.running_service import PATH as SUMMARIES
from tests.app.running_service import Site, code, serving, until, wav

PATH = "/v1/vocabulary"
ANNA, BOB = ({"authorization": f"Bearer {key}"} for key in ("anna", "bob"))

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site_with_keys() -> AsyncIterator[Site]:
    """A service with two keys."""
    async with serving(auth={"keys": ["anna", "bob"]}, limits={"vocabulary_terms": 3}) as running:
        yield running


async def put(site: Site, *terms: str, headers: dict[str, str] = ANNA) -> Any:
    return await site.client.put(PATH, json={"terms": terms}, headers=headers)


async def test_it_is_kept_for_one_key_until_it_is_replaced_or_deleted(site_with_keys: Site) -> None:
    answer = await put(site_with_keys, " Aoife ", "Ben", "Aoife", "")
    assert answer.json() == {"object": "vocabulary", "terms": ["Aoife", "Ben"]}
    assert (await site_with_keys.client.get(PATH, headers=ANNA)).json()["terms"] == ["Aoife", "Ben"]
    assert (await site_with_keys.client.get(PATH, headers=BOB)).json()["terms"] == []
    await put(site_with_keys, "Carl", headers=BOB)
    await put(site_with_keys, "Xanthippe")
    assert (await site_with_keys.client.get(PATH, headers=ANNA)).json()["terms"] == ["Xanthippe"]
    for _ in range(2):
        assert (await site_with_keys.client.delete(PATH, headers=ANNA)).status_code == 204
    assert (await site_with_keys.client.get(PATH, headers=ANNA)).json()["terms"] == []
    assert (await site_with_keys.client.get(PATH, headers=BOB)).json()["terms"] == ["Carl"]


async def test_every_request_of_the_key_has_it_behind_its_own_terms(site_with_keys: Site) -> None:
    await put(site_with_keys, "Aoife", "Ben")
    site_with_keys.engine.requests.clear()
    await site_with_keys.post(headers=ANNA, vocabulary="Dora, Ben")
    body = {"model": "", "messages": messages()}
    await site_with_keys.client.post("/v1/chat/completions", json=body, headers=ANNA)
    await site_with_keys.client.post(f"{SUMMARIES}/jobs", files={"file": wav()}, headers=ANNA)
    await until(lambda: len(site_with_keys.engine.requests) == 3)
    await site_with_keys.post(headers=BOB)
    found = [request.vocabulary for request in site_with_keys.engine.requests]
    assert found == [("Dora", "Ben", "Aoife"), ("Aoife", "Ben"), ("Aoife", "Ben"), ("Carl",)]
    assert "Dora; Ben; Aoife." in site_with_keys.engine.requests[0].instruction
    await put(site_with_keys)
    await site_with_keys.post(headers=ANNA)
    assert site_with_keys.engine.requests[-1].vocabulary == ()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"terms": ["a", "b", "c", "d"]}, "vocabulary"),
        ({"terms": ["x" * 81]}, "terms"),
        ({"terms": "Aoife"}, "terms"),
        ({"terms": [], "words": []}, "words"),
        ({}, "terms"),
    ],
)
async def test_what_cannot_be_kept_is_refused(site_with_keys: Site, body: Any, param: str) -> None:
    before = (await site_with_keys.client.get(PATH, headers=ANNA)).json()
    answer = await site_with_keys.client.put(PATH, json=body, headers=ANNA)
    assert code(answer) == (400, "invalid_field")
    assert answer.json()["error"]["param"] == param
    assert (await site_with_keys.client.get(PATH, headers=ANNA)).json() == before


async def test_without_a_key_there_is_none(shared: Site) -> None:
    for method in ("GET", "PUT", "DELETE"):
        response = await shared.client.request(method, PATH, json={"terms": ["Aoife"]})
        assert code(response) == (401, "missing_api_key")
