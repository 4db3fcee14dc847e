"""GET /v1/models: the registry, and which of it is served."""

import openai

from app.served import ServedModel
from tests.app.site import MODEL, Site, code, serving

OTHER = ServedModel("test-model", "2", "audio-llm", max_seconds=30, figures={"score": 0.5}, created=7)
CASCADE = ServedModel("two-steps", "1", "cascade", max_seconds=90)


async def test_the_list_has_what_openai_clients_read_and_more(site: Site) -> None:
    body = (await site.client.get("/v1/models")).json()
    assert body["object"] == "list"
    (model,) = body["data"]
    assert (model["id"], model["object"], model["owned_by"]) == ("test-model@3", "model", "speechsum")
    assert isinstance(model["created"], int)
    assert (model["name"], model["version"], model["kind"], model["loaded"]) == ("test-model", "3", "audio-llm", True)
    assert (model["state"], model["adapters"]) == ("ready", [])
    assert model["languages"] == ["en", "de"]
    audio = {"sampling_rate": 16_000, "window_seconds": 30, "max_seconds": 60, "note_seconds": 0, "trained_seconds": 0}
    assert model["audio"] == audio
    assert model["figures"] == {}


async def test_the_openai_client_lists_and_retrieves() -> None:
    async with serving() as site:
        client = openai.AsyncOpenAI(api_key="x", base_url=f"http://127.0.0.1:{site.port}/v1")
        assert [model.id async for model in client.models.list()] == ["test-model@3"]
        assert (await client.models.retrieve("test-model@3")).owned_by == "speechsum"


async def test_models_that_are_not_loaded_are_listed_as_such(site: Site) -> None:
    site.service.models.known = [OTHER, MODEL, CASCADE]
    data = (await site.client.get("/v1/models")).json()["data"]
    assert [(model["id"], model["loaded"]) for model in data] == [
        ("test-model@2", False),
        ("test-model@3", True),
        ("two-steps@1", False),
    ]
    assert data[0]["figures"] == {"score": 0.5}
    refused = await site.post(model="two-steps")
    assert code(refused) == (404, "model_not_loaded")
    assert "SPEECHSUM_MODEL" in refused.json()["error"]["message"]


async def test_a_bare_name_is_the_served_version(site: Site) -> None:
    site.service.models.known = [OTHER, MODEL, CASCADE]
    get = site.client.get
    assert (await get("/v1/models/test-model")).json()["id"] == "test-model@3"
    assert (await get("/v1/models/test-model@2")).json()["loaded"] is False
    assert (await get("/v1/models/two-steps")).json()["kind"] == "cascade"
    missing = await get("/v1/models/nothing")
    assert code(missing) == (404, "model_not_found")
    assert "two-steps@1" in missing.json()["error"]["message"]
