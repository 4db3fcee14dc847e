"""The Prometheus families of several vLLM engines in one process, shown together in the default registry.

vLLM registers an engine's families there when it makes one, and takes out those of every engine before it
(`unregister_vllm_metrics` in vLLM 0.32, `v1/metrics/prometheus.py`). Here each engine's move into a registry of its own
at once. Knows nothing about what they count.
"""

from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.registry import Collector

PREFIX = "vllm:"


class _MergedCollector(Collector):
    """All engines' families, those of one name as one."""

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
    """Take what vLLM has just registered for the engine's; to be called once it is made."""
    if not _merged_collector.registries:
        REGISTRY.register(_merged_collector)
    own = CollectorRegistry()
    # As vLLM itself finds them: the registry has no public way to ask.
    for collector in list(REGISTRY._collector_to_names):
        if getattr(collector, "_name", "").startswith(PREFIX):
            REGISTRY.unregister(collector)
            own.register(collector)
    _merged_collector.registries[engine] = own


def unregister_engine(engine: object) -> None:
    """Show the engine's no more. Harmless twice."""
    if _merged_collector.registries.pop(engine, None) and not _merged_collector.registries:
        REGISTRY.unregister(_merged_collector)
