"""GET /v1/models: the registry, and which of it is served."""

import openai
import pytest

from app.engine.model_info import ModelInfo
from app.engine.scripted import ScriptedEngine
from tests.app.running_service import MODEL, Site, code, serving

OTHER = ModelInfo("test-model", "2", "audio-llm", max_seconds=30, figures={"score": 0.5}, created=7)
CASCADE = ModelInfo("two-steps", "1", "cascade", max_seconds=90)


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
    async with (
        serving() as site,
        openai.AsyncOpenAI(api_key="none", base_url=f"http://127.0.0.1:{site.port}/v1") as client,
    ):
        assert [model.id async for model in client.models.list()] == ["test-model@3"]
        assert (await client.models.retrieve("test-model@3")).owned_by == "speechsum"


async def test_what_cannot_be_asked_for_is_listed_only_on_request(site: Site) -> None:
    site.service.models.known_models = [OTHER, MODEL, CASCADE]
    assert [model["id"] for model in (await site.client.get("/v1/models")).json()["data"]] == ["test-model@3"]
    data = (await site.client.get("/v1/models?all=true")).json()["data"]
    assert [(model["id"], model["loaded"]) for model in data] == [
        ("test-model@2", False),
        ("test-model@3", True),
        ("two-steps@1", False),
    ]
    assert data[0]["figures"] == {"score": 0.5}
    refused = await site.post(model="two-steps")
    assert code(refused) == (404, "model_not_loaded")
    assert "SPEECHSUM_MODEL" in refused.json()["error"]["message"]


async def test_every_id_in_the_list_is_answered_and_nothing_is_while_it_loads() -> None:
    async with serving(ScriptedEngine(start_s=30), ready=False) as site:
        assert (await site.client.get("/v1/models")).json()["data"] == []
        (loading,) = (await site.client.get("/v1/models?all=true")).json()["data"]
        assert (loading["id"], loading["state"]) == ("test-model@3", "loading")


async def test_a_model_whose_engine_died_is_no_longer_listed(site: Site) -> None:
    site.engine.die()
    assert (await site.client.get("/v1/models")).json()["data"] == []
    (dead,) = (await site.client.get("/v1/models?all=1")).json()["data"]
    assert (dead["state"], dead["loaded"]) == ("failed", False)


async def test_an_adapter_is_listed_under_the_name_that_requests_use() -> None:
    async with serving(adapters={"served": "terse"}) as site:
        data = (await site.client.get("/v1/models")).json()["data"]
        assert [(one["id"], one["adapter_of"]) for one in data] == [("test-model@3", None), ("terse", "test-model@3")]
        assert data[0]["adapters"] == ["terse"]
        assert (await site.client.get("/v1/models/terse")).json() == data[1]
        for one in data:
            assert (await site.post(model=one["id"])).json()["model"] == one["id"]


async def test_a_bare_name_is_the_served_version(site: Site) -> None:
    site.service.models.known_models = [OTHER, MODEL, CASCADE]
    get = site.client.get
    assert (await get("/v1/models/test-model")).json()["id"] == "test-model@3"
    for name in ("test-model@2", "two-steps"):
        hidden = await get(f"/v1/models/{name}")
        assert code(hidden) == (404, "model_not_loaded")
        assert "test-model@3" in hidden.json()["error"]["message"]
    assert (await get("/v1/models/test-model@2?all=true")).json()["loaded"] is False
    assert (await get("/v1/models/two-steps?all=true")).json()["kind"] == "cascade"
    missing = await get("/v1/models/nothing")
    assert code(missing) == (404, "model_not_found")
    assert "two-steps@1" in missing.json()["error"]["message"]


@pytest.mark.parametrize(
    ("url", "param"),
    [
        ("/v1/models?limit=3", "limit"),
        ("/v1/models?all=true&all=false", "all"),
        ("/v1/models?all=perhaps", "all"),
        ("/v1/models/test-model?verbose=1", "verbose"),
    ],
)
async def test_an_unknown_query_parameter_is_refused_by_name(site: Site, url: str, param: str) -> None:
    refused = await site.client.get(url)
    assert code(refused)[0] == 400
    assert refused.json()["error"]["param"] == param
