"""The metrics of several vLLM engines, of which vLLM alone exposes only the last one's."""

from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

from app.engine import vllm_metrics


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Two, and nothing beside them: what other tests have running is out of sight meanwhile."""
    others = vllm_metrics._merged_collector
    if others.registries:
        REGISTRY.unregister(others)
    monkeypatch.setattr(vllm_metrics, "_merged_collector", vllm_metrics._MergedCollector())
    made = [object(), object()]
    yield made
    for engine in made:
        vllm_metrics.unregister_engine(engine)
    if others.registries:
        REGISTRY.register(others)


def register_metrics(model: str, running: int) -> None:
    """What vLLM does when it makes an engine: takes out what is there of others, and puts in its own."""
    for collector in list(REGISTRY._collector_to_names):
        if getattr(collector, "_name", "").startswith("vllm:"):
            REGISTRY.unregister(collector)
    Gauge("vllm:num_requests_running", "Running.", ["model_name"]).labels(model).set(running)
    Counter("vllm:prompt_tokens", "Read.", ["model_name"]).labels(model).inc(running)
    Histogram("vllm:e2e", "Seconds.", ["model_name"], buckets=(1, 2)).labels(model).observe(running)


def exposed_samples(name: str) -> dict[str, str]:
    lines = [line for line in generate_latest().decode().splitlines() if line.startswith(name + "{")]
    return {line.split('model_name="')[1].split('"')[0]: line.split()[-1] for line in lines}


def test_each_engines_are_shown_beside_the_others(engines: list[object]) -> None:
    for engine, model, running in zip(engines, ("one@1", "two@1"), (1, 2), strict=True):
        register_metrics(model, running)
        vllm_metrics.register_engine(engine)
    assert exposed_samples("vllm:num_requests_running") == {"one@1": "1.0", "two@1": "2.0"}
    assert exposed_samples("vllm:prompt_tokens_total") == {"one@1": "1.0", "two@1": "2.0"}
    assert exposed_samples("vllm:e2e_count") == {"one@1": "1.0", "two@1": "1.0"}
    text = generate_latest().decode()
    assert text.count("# TYPE vllm:num_requests_running gauge") == 1


def test_an_engine_that_is_gone_is_shown_no_more(engines: list[object]) -> None:
    for engine, model in zip(engines, ("one@1", "two@1"), strict=True):
        register_metrics(model, 1)
        vllm_metrics.register_engine(engine)
    vllm_metrics.unregister_engine(engines[0])
    vllm_metrics.unregister_engine(engines[0])
    assert set(exposed_samples("vllm:num_requests_running")) == {"two@1"}
    vllm_metrics.unregister_engine(engines[1])
    assert "vllm:num_requests_running" not in generate_latest().decode()
