"""Adapters by name: a request's `model` chooses one, the response names it, and a running request keeps it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.engine.base import GenerationRequest
from app.main import create_app
from tests.app.models.scripted_models import (
    ADMIN,
    FIRST,
    OTHER,
    SECOND,
    Fleet,
    admin_request,
    queue_job,
    serving_fleet,
    until_not,
    wait_for_job,
)
from tests.app.running_service import MODEL, Site, WaveDecoder, code, settings_for, until, value, wav

ADAPTERS = "/v1/admin/adapters"


def fleet_of(*ids: str) -> Fleet:
    """Engines that write the folder of the adapter they write with."""
    fleet = Fleet(*ids)
    for engine in fleet.engines.values():
        engine.pieces = _pieces
    return fleet


def _pieces(request: GenerationRequest) -> list[str]:
    return [str(request.adapter.folder if request.adapter else "plain")]


async def add(site: Site, **body: Any) -> Any:
    return await site.client.post(ADAPTERS, json=body, headers=ADMIN)


async def test_a_request_is_written_with_the_adapter_it_names() -> None:
    async with serving_fleet(fleet_of(FIRST), adapters={"served": "terse=/adapters/1, formal=/adapters/2"}) as site:
        for name, written in (("terse", "/adapters/1"), ("formal", "/adapters/2"), ("test-model", "plain")):
            answer = (await site.post(model=name)).json()
            assert (answer["summary"], answer["model"]) == (written, FIRST if name == "test-model" else name)
        made = await wait_for_job(site, await queue_job(site, model="terse"))
        assert (made["summary"]["summary"], made["summary"]["model"]) == ("/adapters/1", "terse")
        assert '"model":"terse"' in (await site.post(model="terse", stream="true")).text
        card = (await site.client.get(f"/v1/models/{FIRST}")).json()
        assert card["adapters"] == ["formal", "terse"]
        assert code(await site.post(model="polite")) == (404, "model_not_found")
        assert value("speechsum_requests_total", outcome="ok", model="formal") == 1


async def test_every_window_of_a_long_recording_is_read_with_it() -> None:
    async with serving_fleet(fleet_of(FIRST), adapters={"served": "terse=/adapters/1"}) as site:
        answer = (await site.post(wav(130), model="terse")).json()
        assert len(answer["windows"]) > 1
        assert {one.adapter.name for one in site.engine.requests if one.adapter} == {"terse"}
        assert all(one.adapter for one in site.engine.requests)


async def test_adapters_are_loaded_and_unloaded_beside_requests() -> None:
    fleet = fleet_of(FIRST)
    async with serving_fleet(fleet) as site:
        made = await add(site, name="terse", folder="/adapters/1")
        assert (made.status_code, made.json()["model"]) == (201, FIRST)
        site.engine.may_write.clear()
        inside = asyncio.create_task(site.post(model="terse"))
        await until(lambda: site.engine.running_requests == 1)
        gone = await site.client.delete(f"{ADAPTERS}/terse", headers=ADMIN)
        assert (gone.status_code, gone.json()["data"][0]["adapters"]) == (202, [])
        assert code(await site.post(model="terse")) == (404, "model_not_found")
        assert len(site.engine.adapters) == 1, "as long as one is inside"
        site.engine.may_write.set()
        assert (await inside).json()["summary"] == "/adapters/1"
        await until(lambda: site.engine.adapters == [])
        assert code(await site.client.delete(f"{ADAPTERS}/terse", headers=ADMIN)) == (404, "adapter_not_loaded")


async def test_one_takes_anothers_name_and_who_is_inside_keeps_the_old_one() -> None:
    async with serving_fleet(fleet_of(FIRST)) as site:
        await add(site, name="terse", folder="/adapters/1")
        site.engine.may_write.clear()
        inside = asyncio.create_task(site.post(model="terse"))
        await until(lambda: site.engine.running_requests == 1)
        replacing = asyncio.create_task(add(site, name="terse", folder="/adapters/2"))
        await until(lambda: len(site.engine.adapters) == 2)
        other = asyncio.create_task(site.post(model="terse"))
        await until(lambda: site.engine.running_requests == 2)
        site.engine.may_write.set()
        assert (await other).json()["summary"] == "/adapters/2"
        assert (await inside).json()["summary"] == "/adapters/1"
        assert (await replacing).status_code == 201
        await until(lambda: [one.folder for one in site.engine.adapters] == [Path("/adapters/2")])


async def test_an_adapter_goes_with_its_model_and_may_be_on_several() -> None:
    async with serving_fleet(fleet_of(FIRST, SECOND), models=SECOND) as site:
        await add(site, name="terse", folder="/adapters/1")
        await add(site, name="terse", folder="/adapters/2", model=SECOND)
        got = {(await site.post(model="terse")).json()["summary"] for _ in range(30)}
        assert got == {"/adapters/1", "/adapters/2"}
        await admin_request(site, "DELETE", f"/{FIRST}")
        await until_not(site, FIRST, "draining")
        assert {(await site.post(model="terse")).json()["summary"] for _ in range(5)} == {"/adapters/2"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"name": "test-model"}, (409, "adapter_name")),
        ({"name": "terse@1"}, (409, "adapter_name")),
        ({"name": ""}, (400, "invalid_field")),
        ({"name": "terse", "model": "nobody"}, (404, "model_not_loaded")),
    ],
)
async def test_what_cannot_be_an_adapter_is_refused(body: dict[str, str], expected: tuple[int, str]) -> None:
    async with serving_fleet(fleet_of(FIRST, OTHER)) as site:
        assert code(await add(site, **body)) == expected
        assert site.engine.adapters == []


def test_a_setting_that_names_an_adapter_like_the_model_stops_the_start() -> None:
    settings = settings_for(adapters={"served": "test-model=/adapters/1"})
    with pytest.raises(ValueError, match="test-model is the name of a model"):
        create_app(settings, Fleet(FIRST).engines[FIRST], MODEL, WaveDecoder())
