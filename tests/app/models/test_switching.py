"""One version replaces another: no request fails under load, and the old one stays if the new one cannot be loaded."""

import asyncio
import random
from collections import Counter

import pytest

from app.core.errors import Unavailable
from app.models.manager import ModelManager
from tests.app.models.scripted_models import (
    FIRST,
    OTHER,
    SECOND,
    Fleet,
    admin_request,
    answering_model,
    count_answers,
    load_model,
    queue_job,
    serving_fleet,
    until_not,
    wait_for_job,
)
from tests.app.running_service import Site, until, value

AT_ONCE = 50


class BackgroundLoad:
    """So many requests at once, again and again, plain and streamed, until it is ended."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.got: list[str] = []
        self.failed: list[str] = []
        self.going = True
        self.tasks = [asyncio.create_task(self._ask(random.Random(number))) for number in range(AT_ONCE)]

    async def _ask(self, draw: random.Random) -> None:
        while self.going:
            stream = draw.random() < 0.5
            answer = await self.site.post(stream=str(stream).lower(), model=draw.choice(["test-model", ""]))
            last = answer.text.rstrip().splitlines()[-3] if stream else answer.text
            if answer.status_code != 200 or '"finish_reason":"stop"' not in last:
                self.failed.append(f"{answer.status_code} {answer.text}")
                continue
            named = [id_ for id_ in (FIRST, SECOND) if f'"model":"{id_}"' in last and f"{id_} wrote" in last]
            self.got += named
            self.failed += [] if named else [last]

    async def end(self) -> None:
        self.going = False
        await asyncio.gather(*self.tasks)


async def test_a_switch_under_fifty_requests_fails_none() -> None:
    fleet = Fleet(FIRST, SECOND)
    fleet.engines[SECOND].may_start.clear()
    for engine in fleet.engines.values():
        engine.prefill_s = 0.02
    wide = {"max_num_seqs": 16}
    async with serving_fleet(fleet, engine=wide, limits={"max_waiting": 2 * AT_ONCE, "client_concurrency": 0}) as site:
        load = BackgroundLoad(site)
        await until(lambda: len(load.got) > AT_ONCE, seconds=30)
        queued = await queue_job(site)
        response = await admin_request(site, "POST", model=SECOND, replace=FIRST)
        assert response.status_code == 202
        fleet.engines[SECOND].may_start.set()
        assert (await until_not(site, SECOND, "loading"))["state"] == "ready"
        await until(lambda: site.service.models.by_id[FIRST].state == "unloaded", seconds=30)
        before = len(load.got)
        await until(lambda: len(load.got) > before + AT_ONCE, seconds=30)
        await load.end()
        assert load.failed == []
        counts = Counter(load.got)
        assert min(counts[FIRST], counts[SECOND]) > AT_ONCE, counts
        assert set(load.got[-AT_ONCE:]) == {SECOND}
        assert (await wait_for_job(site, queued))["state"] == "succeeded"
        assert fleet.engines[FIRST].up is False
        assert (await site.client.get("/readyz")).json()["model"] == SECOND
        await site.until_idle()


async def test_the_new_one_has_the_old_ones_weight_unless_it_is_given_another() -> None:
    async with serving_fleet(Fleet(FIRST, SECOND, "test-model@5", OTHER), models=f"{FIRST}=30,test-model@5=70") as site:
        card = await load_model(site, model=SECOND, replace=FIRST)
        assert (card["weight"], card["share"]) == (30, pytest.approx(0.3))
        await until(lambda: site.service.models.by_id[FIRST].state == "unloaded")
        card = await load_model(site, model=FIRST, replace=SECOND, weight=7)
        assert (card["weight"], card["share"]) == (7, pytest.approx(7 / 77))


async def test_until_it_is_ready_the_new_one_gets_nothing_and_if_it_fails_the_old_one_stays() -> None:
    fleet = Fleet(FIRST, SECOND)
    fleet.engines[SECOND].may_start.clear()
    fleet.engines[SECOND].error = Unavailable("It has no room.", code="engine_failed")
    async with serving_fleet(fleet) as site:
        card = (await admin_request(site, "POST", model=SECOND, replace=FIRST, weight=1000)).json()
        assert await count_answers(site, 5) == {FIRST: 5}
        fleet.engines[SECOND].may_start.set()
        card = await until_not(site, SECOND, "loading")
        assert (card["state"], card["why"]) == ("failed", "It has no room.")
        shown = (await admin_request(site, "GET", f"/{FIRST}")).json()
        assert (shown["state"], shown["weight"], shown["share"]) == ("ready", 100, 1.0)
        assert await count_answers(site, 5) == {FIRST: 5}


async def test_a_dead_one_can_be_replaced() -> None:
    fleet = Fleet(FIRST, SECOND)
    async with serving_fleet(fleet) as site:
        site.engine.die()
        assert (await site.client.get("/livez")).status_code == 503
        assert value("speechsum_ready") == 0
        await load_model(site, model=SECOND, replace=FIRST)
        assert (await site.client.get("/livez")).status_code == 200
        assert value("speechsum_ready") == 1
        assert await answering_model(site) == SECOND


async def test_where_the_last_of_the_default_is_replaced_by_another_name_that_is_the_default() -> None:
    async with serving_fleet(Fleet(FIRST, OTHER)) as site:
        await load_model(site, model=OTHER, replace=FIRST)
        assert await answering_model(site) == OTHER
        cards = {one["id"]: one["default"] for one in (await admin_request(site, "GET")).json()["data"]}
        assert cards == {FIRST: False, OTHER: True}


async def test_a_canary_is_widened_step_by_step() -> None:
    async with serving_fleet(Fleet(FIRST, SECOND), models=f"{FIRST}=100,{SECOND}=0") as site:
        shares = []
        for weight in (0, 25, 100, 300):
            card = (await admin_request(site, "PATCH", f"/{SECOND}", weight=weight)).json()
            got = await count_answers(site, 100)
            assert got[SECOND] / 100 == pytest.approx(card["share"], abs=0.15)
            shares.append(got[SECOND])
        assert shares == sorted(shares)
        assert shares[0] == 0


async def test_a_service_that_stops_stops_all_its_models() -> None:
    fleet = Fleet(FIRST, SECOND, OTHER)
    fleet.engines[OTHER].may_start.clear()
    async with serving_fleet(fleet, models=SECOND) as site:
        await admin_request(site, "POST", model=OTHER)
        models: ModelManager = site.service.models
        await until(lambda: models.by_id[OTHER].engine is not None)
    assert [engine.up for engine in fleet.engines.values()] == [False] * 3
    assert all(model.engine is None for model in models.by_id.values())
