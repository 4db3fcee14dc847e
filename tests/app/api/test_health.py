"""/livez, /readyz and /metrics."""

from prometheus_client.parser import text_string_to_metric_families

from app.core.errors import Unavailable
from app.engine.base import GenerationRequest
from app.engine.scripted import ScriptedEngine
from tests.app.running_service import Site, code, serving


async def ready_gauge(site: Site) -> float:
    """`speechsum_ready` as a scrape shows it."""
    text = (await site.client.get("/metrics")).text
    (family,) = [f for f in text_string_to_metric_families(text) if f.name == "speechsum_ready"]
    return family.samples[0].value


async def test_ready_only_after_one_real_inference() -> None:
    engine = ScriptedEngine(start_s=1.0, prefill_s=0.15)
    async with serving(engine, ready=False) as site:
        assert code(await site.client.get("/startupz")) == (503, "not_ready")
        assert (await site.client.get("/livez")).status_code == 200
        refused = await site.client.get("/readyz")
        assert code(refused) == (503, "not_ready")
        assert refused.headers["retry-after"]
        assert engine.requests == []
        assert await ready_gauge(site) == 0
        await site.service.wait_until_started()
        assert (await site.client.get("/readyz")).json() == {"status": "ok", "model": "test-model@3"}
        assert (await site.client.get("/startupz")).status_code == 200
        (warm_up,) = engine.requests
        assert isinstance(warm_up, GenerationRequest)
        assert await ready_gauge(site) == 1
        engine.die()
        assert code(await site.client.get("/livez")) == (503, "engine_dead")
        assert await ready_gauge(site) == 0
        assert len(warm_up.samples) == 16_000


async def test_an_engine_that_cannot_start_is_not_live() -> None:
    class Broken(ScriptedEngine):
        async def start(self) -> None:
            raise Unavailable("The checkpoint does not fit the memory.", code="engine_failed")

    async with serving(Broken(), ready=False) as site:
        await site.service.wait_until_started()
        for path in ("/livez", "/readyz"):
            refused = await site.client.get(path)
            assert code(refused) == (503, "engine_failed")
            assert "fit the memory" in refused.json()["error"]["message"]
        assert code(await site.post()) == (503, "engine_failed")


async def test_a_fault_while_starting_says_nothing_of_the_inside() -> None:
    async with serving(ScriptedEngine(error=ZeroDivisionError("secret")), ready=False) as site:
        await site.service.wait_until_started()
        response = await site.client.get("/livez")
        assert code(response) == (503, "engine_failed")
        assert "secret" not in response.text


async def test_a_dead_engine_is_neither_live_nor_ready(site: Site) -> None:
    assert (await site.client.get("/livez")).status_code == 200
    site.engine.die()
    assert code(await site.client.get("/livez")) == (503, "engine_dead")
    assert code(await site.client.get("/readyz")) == (503, "engine_dead")


async def test_metrics_parse_in_both_formats(site: Site) -> None:
    await site.post()
    plain = await site.client.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    names = {family.name for family in text_string_to_metric_families(plain.text)}
    assert {"speechsum_requests", "speechsum_stage_seconds", "speechsum_rtfx", "process_resident_memory_bytes"} <= names
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    assert (await site.client.get("/metrics", headers=accept)).text.endswith("# EOF\n")
