"""Runs a batch on a Ray cluster, or on a Ray that is started on this machine for the run.

Ray Data gives the recordings to a pool of workers that grows and shrinks, and starts workers again that died. What they
had in work is repeated in another round, in which only recordings without a row take part. This process takes the rows
and is the only one that writes them, so that a repetition cannot double a row.

Recordings are handed out in blocks. A worker has at most two blocks, so that the second begins while the last
recordings of the first end.
"""

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from app.batch.attempts import MAX_ATTEMPTS, AttemptCounter
from app.batch.inputs import DEFAULT_COLUMN
from app.batch.output_folder import OutputFolder
from app.batch.ray_install import import_ray
from app.batch.ray_worker import ROW_COLUMN, SummarizeRecordings
from app.batch.rows import Row
from app.batch.summarizer import BatchWork
from app.models.model_source import ModelSource

log = logging.getLogger(__name__)

BLOCKS_PER_WORKER = 2
MOST_BLOCKS = 100_000  # Ray's driver keeps an entry for each
OBJECT_STORE_BYTES = 200_000_000  # of a Ray that is started here: URIs and rows are small


class ClusterUnreachable(Exception):
    """No Ray cluster answers at the address. The message is a full sentence."""


class BatchFailed(Exception):
    """The batch cannot go on: the model cannot be loaded, for example. The message is a sentence."""


@dataclass(frozen=True)
class Workers:
    """The workers of a batch.

    Attributes:
        least: Workers that are there from the start.
        most: Workers that are there at most, if the cluster has the room.
        cpus: CPUs that each reserves.
        gpus: GPUs that each reserves.
    """

    least: int
    most: int
    cpus: float = 1.0
    gpus: float = 0.0


@contextlib.contextmanager
def ray_cluster(address: str | None) -> Iterator[Any]:
    """Connect to a cluster for the duration of the block, and give the module `ray`.

    Args:
        address: As Ray takes it: `auto`, `host:port`, `ray://host:port`. None is the environment's `RAY_ADDRESS`, and
            without that a Ray that is started on this machine and stopped at the end.

    Raises:
        RayMissing: If Ray is not installed.
        ClusterUnreachable: If no cluster answers.
    """
    ray = import_ray()
    address = address or os.environ.get("RAY_ADDRESS") or None
    # "local" starts a Ray also where another one runs on this machine, which is no part of this run.
    own = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES} if address is None else {}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.WARNING, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ClusterUnreachable(f"No Ray cluster answers at {address or 'this machine'}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def summarize_archive(
    ray: Any,
    uris: Sequence[str],
    work: BatchWork,
    source: ModelSource,
    workers: Workers,
    output: OutputFolder,
    on_row: Callable[[Row], None],
) -> None:
    """Make a row of each recording and add it to the output.

    Args:
        ray: The module, connected.
        uris: The recordings that have no row.
        work: What is asked for each.
        source: Finds the model; it is sent to the workers.
        workers: How many there are.
        output: The open folder.
        on_row: Called with each row that was added.

    Raises:
        BatchFailed: If the workers cannot start, or die again and again.
    """
    attempts = _start_counter(ray)
    rounds_without_rows = 0
    reason = "their rows did not arrive"
    while waiting := [uri for uri in uris if uri not in output.finished]:
        finished_before = len(output.finished)
        try:
            for row in _run_round(ray, waiting, work, source, workers, attempts):
                if output.add(row):
                    on_row(row)
        except ray.exceptions.RayError as error:
            reason = _first_reason(error)
            if len(waiting) == len(uris) and len(output.finished) == finished_before:
                raise BatchFailed(f"The workers cannot start: {reason}") from error
            log.warning("A round of the batch broke off: %s", reason)
        rounds_without_rows = 0 if len(output.finished) > finished_before else rounds_without_rows + 1
        if rounds_without_rows > MAX_ATTEMPTS:
            raise BatchFailed(f"{len(waiting)} recordings, such as {waiting[0]}, have no row: {reason}")


def _run_round(
    ray: Any, uris: Sequence[str], work: BatchWork, source: ModelSource, workers: Workers, attempts: Any
) -> Iterator[Row]:
    """Yield the rows of the recordings, but not of those whose worker has died with them.

    Ray starts a worker that died again, where there is room. By default it would also keep the worker's recordings for
    it, which would then wait for ever if the room does not come back, as on a cluster of fixed size that has lost a
    machine. So they are left to the next round.
    """
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # so that a row comes here as soon as it is made, and not with its whole block
    context.max_errored_blocks = -1
    block_count = min(MOST_BLOCKS, -(-len(uris) // work.parallel))
    with ray.data.DataContext.current(context):
        dataset = ray.data.from_items(
            [{DEFAULT_COLUMN: uri} for uri in uris], override_num_blocks=block_count
        ).map_batches(
            SummarizeRecordings,
            batch_size=None,
            fn_constructor_args=(work, source, attempts),
            num_cpus=workers.cpus,
            num_gpus=workers.gpus,
            max_task_retries=0,
            compute=ray.data.ActorPoolStrategy(
                min_size=min(workers.least, block_count),
                max_size=min(workers.most, block_count),
                max_tasks_in_flight_per_actor=BLOCKS_PER_WORKER,
                max_concurrent_calls_per_actor=BLOCKS_PER_WORKER,
                enable_true_multi_threading=True,
            ),
        )
        for batch in dataset.iter_batches(batch_size=None, prefetch_batches=0):
            for text in batch[ROW_COLUMN]:
                yield json.loads(text)


def _start_counter(ray: Any) -> Any:
    """Return the handle of an `AttemptCounter` on this machine, with which it lives and dies."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(AttemptCounter).options(num_cpus=0, max_concurrency=1, scheduling_strategy=here).remote()


def _first_reason(error: BaseException) -> str:
    """Return the message of the innermost exception, which Ray wraps in its own."""
    while (inner := getattr(error, "cause", None) or error.__cause__) is not None:
        error = inner
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
