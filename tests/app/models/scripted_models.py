"""Scripted models to load by name, and a service that starts with one of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from app.engine.base import Engine
from app.engine.model_info import ModelInfo
from app.engine.scripted import ScriptedEngine
from app.models.model_source import LoadableModel
from model_repo.registry import RegistryError, UnknownModel
from tests.app.running_service import MODEL, Site, serving, until, wav
from tests.app.running_service import PATH as SUMMARIES

ADMIN = {"authorization": "Bearer root-key"}
PATH = "/v1/admin/models"
FIRST, SECOND, OTHER = MODEL.id, "test-model@4", "other@1"


class GatedEngine(ScriptedEngine):
    """A scripted engine that starts and writes only while its events are set."""

    def __init__(self, *pieces: str) -> None:
        super().__init__(pieces)
        self.may_start, self.may_write = asyncio.Event(), asyncio.Event()
        self.may_start.set()
        self.may_write.set()

    @property
    def up(self) -> bool:
        return self._started

    async def start(self) -> None:
        await self.may_start.wait()
        await super().start()

    async def _pause(self, seconds: float) -> None:
        await self.may_write.wait()
        await super()._pause(seconds)


class Fleet:
    """A `ModelSource` of models whose engines a test controls. Each engine writes its model's name.

    asked: the names that were asked for, each with its servers.
    """

    def __init__(self, *ids: str) -> None:
        self.engines = {id_: GatedEngine(f"{id_} ", "wrote ", "this.") for id_ in ids}
        self.broken: dict[str, Exception] = {}
        self.asked: list[tuple[str, list[str]]] = []

    def __call__(self, asked: str, urls: Sequence[str]) -> LoadableModel:
        self.asked.append((asked, list(urls)))
        if asked == "spoilt":
            raise RegistryError("its digest is another")
        found = [id_ for id_ in self.engines if asked in (id_, id_.partition("@")[0])]
        if not found:
            raise UnknownModel(f"no model {asked!r}")
        name, _, version = found[-1].partition("@")
        model = ModelInfo(name, version, MODEL.kind, max_seconds=60.0, languages=("en", "de"))

        def build() -> Engine:
            if found[-1] in self.broken:
                raise self.broken[found[-1]]
            return self.engines[found[-1]]

        return LoadableModel(model, build)


@asynccontextmanager
async def serving_fleet(fleet: Fleet, wait: bool = True, **sections: Any) -> AsyncIterator[Site]:
    """Run a service of the fleet's first model with the admin API.

    wait: whether to wait until all of its models are loaded.
    """
    sections["auth"] = {"admin_keys": "root-key", **sections.get("auth", {})}
    engine = next(iter(fleet.engines.values()))
    async with serving(engine, source=fleet, **sections) as site:
        table = site.service.models.by_id
        await until(lambda: not wait or all(model.state != "loading" for model in table.values()), seconds=60)
        for one in fleet.engines.values():
            one.requests.clear()
        yield site


async def admin_request(site: Site, method: str, path: str = "", **body: Any) -> httpx.Response:
    """Send a request to the admin API."""
    return await site.client.request(method, f"{PATH}{path}", json=body or None, headers=ADMIN)


async def load_model(site: Site, **body: Any) -> Any:
    """Load a model, wait until loading has ended, and return the model's card."""
    response = await admin_request(site, "POST", **body)
    assert response.status_code == 202, response.text
    return await until_not(site, response.json()["id"], "loading")


async def until_not(site: Site, id_: str, state: str) -> Any:
    """Wait until a model is in another state than `state`, and return its card."""
    model = site.service.models.by_id[id_]
    await until(lambda: model.state != state, lambda: model.state, seconds=60)
    return next(one for one in (await admin_request(site, "GET")).json()["data"] if one["id"] == id_)


async def answering_model(site: Site, **fields: str) -> str:
    """Return the model that a response names, after checking that this model wrote it."""
    answer = await site.post(**fields)
    assert answer.status_code == 200, answer.text
    assert answer.json()["summary"].startswith(answer.json()["model"]), "each engine writes its model's name"
    return str(answer.json()["model"])


async def queue_job(site: Site, **fields: str) -> str:
    """Queue a recording as a job, and return the job's id."""
    made = await site.client.post(f"{SUMMARIES}/jobs", files={"file": wav()}, data=fields)
    assert made.status_code == 202, made.text
    return str(made.json()["id"])


async def wait_for_job(site: Site, id_: str) -> Any:
    """Wait until a job has ended, and return it."""
    for _ in range(500):
        found = (await site.client.get(f"{SUMMARIES}/jobs/{id_}")).json()
        if found["state"] in ("succeeded", "failed"):
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(found)


async def count_answers(site: Site, count: int, **how: Any) -> Counter[str]:
    """Return how many of `count` requests each model answered. Their ids, and so the draws, are always the same."""
    return Counter([await answering_model_for_id(site, f"tally-{number}", **how) for number in range(count)])


async def answering_model_for_id(
    site: Site, request_id: str, headers: dict[str, str] | None = None, **fields: str
) -> str:
    """Return the model that answers the request with this id."""
    response = await site.client.post(
        SUMMARIES,
        files={"file": ("recording.wav", wav(0.2))},
        data=fields,
        headers={"x-request-id": request_id, **(headers or {})},
    )
    assert response.status_code == 200, response.text
    return str(response.json()["model"])
