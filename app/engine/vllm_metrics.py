"""Exposes the Prometheus metrics of several vLLM engines in one process together in the default registry.

When vLLM creates an engine, it registers the engine's metrics in the default registry and removes those of every engine
before it (`unregister_vllm_metrics` in vLLM 0.32, `v1/metrics/prometheus.py`). Here, the metrics of each engine are
moved to a registry of their own at once. Knows nothing about what they count.
"""

from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.registry import Collector

PREFIX = "vllm:"


class _MergedCollector(Collector):
    """Collects the metric families of all engines, and merges families of the same name."""

    def __init__(self) -> None:
        self.registries: dict[object, CollectorRegistry] = {}

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for registry in list(self.registries.values()):
            for family in registry.collect():
                families.setdefault(family.name, family)
                if families[family.name] is not family:
                    families[family.name].samples += family.samples
        yield from families.values()


_merged_collector = _MergedCollector()


def register_engine(engine: object) -> None:
    """Move the metrics that vLLM has just registered to the engine's registry. Call it once the engine is created."""
    if not _merged_collector.registries:
        REGISTRY.register(_merged_collector)
    own = CollectorRegistry()
    # vLLM itself finds them in the same way, because the registry has no public method for it.
    for collector in list(REGISTRY._collector_to_names):
        if getattr(collector, "_name", "").startswith(PREFIX):
            REGISTRY.unregister(collector)
            own.register(collector)
    _merged_collector.registries[engine] = own


def unregister_engine(engine: object) -> None:
    """Expose the engine's metrics no more. Calling it twice does no harm."""
    if _merged_collector.registries.pop(engine, None) and not _merged_collector.registries:
        REGISTRY.unregister(_merged_collector)
