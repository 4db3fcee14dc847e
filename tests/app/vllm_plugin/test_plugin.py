"""The plugin in an application like vLLM's: which routes it adds, what it answers, and what vLLM's own key does."""

from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.engine.scripted import ScriptedEngine
from app.models.model_source import LoadableModel
from app.settings import Settings
from app.vllm_plugin import plugin as plugin_module
from app.vllm_plugin.plugin import SummaryPlugin
from tests.app.database.migrated import write_migrated_file
from tests.app.running_service import MODEL, PATH, code, settings_for
from tests.recordings import silence_wav, speech_wav

WORDS = ["Send ", "the ", "report ", "to ", "Anna."]
CLIENT = SimpleNamespace(vllm_config=SimpleNamespace(scheduler_config=SimpleNamespace(max_num_seqs=3)))


def vllm_like_app(started: list[str]) -> FastAPI:
    """An application with a route of its own and a lifespan."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        started.append("vllm")
        yield
        started.append("vllm ended")

    app = FastAPI(lifespan=lifespan)

    @app.get("/v1/models")
    async def models() -> list[str]:
        return ["vllm's own"]

    return app


@asynccontextmanager
async def plugged_in(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    engine_client: Any = CLIENT,
    api_key: list[str] | None = None,
) -> AsyncIterator[tuple[httpx.AsyncClient, SummaryPlugin, list[str]]]:
    """A client of the application with the plugin, the plugin, and what started and ended."""
    served = LoadableModel(MODEL, lambda: ScriptedEngine(WORDS))
    monkeypatch.setattr(plugin_module, "find_served_model", lambda *_: served)
    write_migrated_file(settings.jobs.folder)
    started: list[str] = []
    app, plugin = vllm_like_app(started), SummaryPlugin(lambda: settings)
    plugin.attach_router(app)
    await plugin.init_state(engine_client, app.state, Namespace(api_key=api_key))
    async with app.router.lifespan_context(app):
        if plugin.service is not None:
            await plugin.service.state.service.wait_until_started()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://vllm", timeout=60) as client:
            yield client, plugin, started


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """A client of vLLM's application with the plugin."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        settings = settings_for(jobs={"folder": tmp_path_factory.mktemp("jobs")})
        async with plugged_in(settings, monkeypatch) as (client, _, _):
            yield client


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_recording_is_summarized_beside_vllms_own_routes(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, files={"file": speech_wav()}, data={"style": "bullets"})
    assert answer.json()["summary"] == "".join(WORDS)
    assert answer.json()["model"] == MODEL.id
    assert (await client.get("/v1/models")).json() == ["vllm's own"]


async def test_a_summary_is_streamed(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, files={"file": speech_wav()}, data={"stream": "true", "response_format": "text"})
    assert answer.text == "".join(WORDS)


async def test_faults_are_the_services_own(client: httpx.AsyncClient) -> None:
    refused = await client.post(PATH, files={"file": b"Dear Anna, the minutes are attached."})
    assert code(refused) == (415, "unsupported_audio")
    assert (await client.post(PATH, files={"file": silence_wav()})).json()["finish_reason"] == "no_speech"
    assert code(await client.get(f"{PATH}/jobs/unknown")) == (404, "job_not_found")


async def test_templates_come_along(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/templates")).json()["data"]


@pytest.mark.parametrize("path", ["/v1/admin/models", "/livez", "/v1/chat/completions"])
async def test_nothing_else_of_the_service_is_reached(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not Found"}


async def test_the_key_that_vllm_has_checked_is_no_key_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bearer = {"authorization": "Bearer of-vllm"}
    settings = settings_for(jobs={"folder": tmp_path})
    async with plugged_in(settings, monkeypatch, api_key=["of-vllm"]) as (client, _, _):
        assert (await client.get("/v1/templates", headers=bearer)).status_code == 200
    async with plugged_in(settings, monkeypatch) as (client, _, _):
        assert code(await client.get("/v1/templates", headers=bearer)) == (401, "invalid_api_key")


async def test_the_service_starts_and_ends_with_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with plugged_in(settings_for(jobs={"folder": tmp_path}), monkeypatch) as (_, plugin, started):
        assert plugin.service is not None
        service = plugin.service.state.service
        assert service.is_ready
        assert started == ["vllm"]
        # As many requests at once as vLLM answers at once: the others wait by priority in the service.
        assert service.settings.engine.max_num_seqs == 3
    assert not service.is_ready
    assert started == ["vllm", "vllm ended"]


async def test_a_server_without_an_engine_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with plugged_in(settings_for(jobs={"folder": tmp_path}), monkeypatch, None) as (client, _, _):
        answer = await client.post(PATH, files={"file": speech_wav()})
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "no_engine"
