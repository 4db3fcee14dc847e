"""Several models on vLLM servers: each uses its own, and a version is replaced by one on other servers."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from app.engine.audio_llm import AudioLlmEngine
from app.engine.model_info import ModelInfo
from app.engine.remote.chat_tokenizer import ChatTokenizer
from app.engine.remote.server import ExpectedModel
from app.engine.remote.server_pool import RemoteChatModel
from app.models.model_source import LoadableModel
from app.settings import RemoteSettings, Settings
from tests.app.engine.remote.fake_vllm_server import CONTEXT, FakeVllmServer, chat_tokenizer
from tests.app.engine.remote.remote_engine import HEALTH_S
from tests.app.models.scripted_models import ADMIN, FIRST, OTHER, SECOND, admin_request, answering_model, until_not
from tests.app.running_service import MODEL, Site, serving, settings_for, until, value


class Servers:
    """A stand-in for each model, which writes that model's name; and a `Source` of the models, at the servers that the
    settings name.
    """

    def __init__(self, *ids: str) -> None:
        self.of = {id_: FakeVllmServer([f"{id_} ", "wrote ", "this."], served=[card(id_)]).start() for id_ in ids}

    def source(self, remote: RemoteSettings) -> Any:
        return partial(_find, remote)

    def die(self) -> None:
        for server in self.of.values():
            server.die()


def card(id_: str) -> dict[str, Any]:
    return {"id": id_, "max_model_len": CONTEXT}


def _find(remote: RemoteSettings, asked: str, urls: Sequence[str]) -> LoadableModel:
    name, _, version = asked.partition("@")
    there = list(urls) or remote.model_urls(name, version)
    made: ChatTokenizer = chat_tokenizer()
    core = RemoteChatModel(ExpectedModel(name, version, CONTEXT), made, remote.model_copy(update={"urls": there}))
    served = ModelInfo(name, version, MODEL.kind, max_seconds=60.0)
    return LoadableModel(served, lambda: AudioLlmEngine(core), ", ".join(there))


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers(FIRST, SECOND, OTHER)
    yield made
    made.die()


@asynccontextmanager
async def serving_remote(servers: Servers, remote: dict[str, Any], **sections: Any) -> AsyncIterator[Site]:
    settings: Settings = settings_for(remote={"health_seconds": HEALTH_S, "start_seconds": 20, **remote})
    source = servers.source(settings.remote)
    engine = source(FIRST, ()).build_engine()
    async with serving(engine, source=source, auth={"admin_keys": "root-key"}, **sections) as site:
        await until(lambda: all(model.state != "loading" for model in site.service.models.by_id.values()), seconds=30)
        yield site


async def test_each_model_is_asked_at_its_own_servers(servers: Servers) -> None:
    of = servers.of
    remote = {"urls": of[FIRST].url, "models": f"{SECOND}={of[SECOND].url},other={of[OTHER].url}"}
    async with serving_remote(servers, remote, models=f"{FIRST}=50,{SECOND}=50,{OTHER}") as site:
        for id_ in (FIRST, SECOND, OTHER):
            assert await answering_model(site, model=id_) == id_
        assert {await answering_model(site) for _ in range(30)} == {FIRST, SECOND}
        assert value("speechsum_remote_up", model=OTHER, server=of[OTHER].name) == 1
        assert value("speechsum_remote_up", model=FIRST, server=of[OTHER].name) == 0


async def test_of_one_list_each_model_takes_the_servers_that_serve_it(servers: Servers) -> None:
    remote = {"urls": ",".join(server.url for server in servers.of.values())}
    async with serving_remote(servers, remote, models=f"{SECOND}=0") as site:
        for id_ in (FIRST, SECOND):
            assert await answering_model(site, model=id_) == id_
        up = {id_: value("speechsum_remote_up", model=id_) for id_ in (FIRST, SECOND)}
        assert up == {FIRST: 1, SECOND: 1}, "of three servers each"


async def test_a_model_whose_server_dies_is_out_until_it_is_back(servers: Servers) -> None:
    of = servers.of
    remote = {"urls": of[FIRST].url, "models": f"{SECOND}={of[SECOND].url}"}
    async with serving_remote(servers, remote, models=f"{FIRST}=50,{SECOND}=50") as site:
        await asyncio.to_thread(of[SECOND].die)
        await until(lambda: value("speechsum_remote_up", model=SECOND) == 0)
        assert {await answering_model(site) for _ in range(10)} == {FIRST}
        await asyncio.to_thread(of[SECOND].start)
        await until(lambda: value("speechsum_remote_up", model=SECOND) == 1)
        assert {await answering_model(site) for _ in range(30)} == {FIRST, SECOND}


async def test_a_version_behind_new_servers_takes_the_place_of_the_old(servers: Servers) -> None:
    async with serving_remote(servers, {"urls": servers.of[FIRST].url}) as site:
        body = {"model": SECOND, "replace": FIRST, "urls": [servers.of[SECOND].url]}
        assert (await admin_request(site, "POST", **body)).status_code == 202
        assert (await until_not(site, SECOND, "loading"))["state"] == "ready"
        assert {await answering_model(site) for _ in range(10)} == {SECOND}
        await until(lambda: site.service.models.by_id[FIRST].state == "unloaded")
        assert value("speechsum_remote_up", model=FIRST) == 0


async def test_an_adapter_of_the_servers_is_named_by_requests(servers: Servers) -> None:
    servers.of[FIRST].served = [card(FIRST), {"id": "terse", "root": "/adapters/terse", "parent": FIRST}]
    servers.of[FIRST].pieces = lambda body: [f"{body['model']} ", "wrote ", "this."]
    async with serving_remote(servers, {"urls": servers.of[FIRST].url}, adapters={"served": "terse"}) as site:
        assert await answering_model(site, model="terse") == "terse"
        assert await answering_model(site) == FIRST
        refused = await site.client.post("/v1/admin/adapters", json={"name": "formal"}, headers=ADMIN)
        assert refused.status_code == 422
