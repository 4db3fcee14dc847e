"""A Ray cluster of several machines on this one, small enough for two cores, for the tests with the marker `ray`.

Ray is imported when a cluster is started, because most environments of the tests do not have it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

OBJECT_STORE_BYTES = 100_000_000
START_SECONDS = 120
# Of every module of tests that needs Ray. Warnings are no errors there, because Ray warns of its own code.
RAY_MARKS = [pytest.mark.slow, pytest.mark.ray, pytest.mark.filterwarnings("ignore")]


@contextmanager
def local_cluster(head_cpus: int) -> Iterator[Any]:
    """Start a cluster and connect to it; its `add_machine` and `kill_machine` are below."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": head_cpus,
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
            "resources": {"head": 1},
            "wait": False,  # Ray waits for half a minute, which a busy machine exceeds
        },
    )
    try:
        cluster.wait_for_nodes(START_SECONDS)
        ray.init(cluster.address, log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def add_machine(cluster: Any, cpus: int, **resources: float) -> Any:
    """Add a machine (a raylet with its workers) to the cluster, and return it."""
    machine = cluster.add_node(wait=False, num_cpus=cpus, object_store_memory=OBJECT_STORE_BYTES, resources=resources)
    cluster.wait_for_nodes(START_SECONDS)
    return machine


def kill_machine(cluster: Any, machine: Any) -> None:
    """Kill a machine, with all that runs on it, without a warning."""
    cluster.remove_node(machine, allow_graceful=False)
