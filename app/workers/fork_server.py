"""The fork server that all worker processes come from.

multiprocessing has one fork server per process, and the modules that it preloads are fixed when it starts. So this
module lists those of every kind of worker. If each kind listed its own, those of the kind that starts second would be
imported again in every worker, partly under the worker's memory limit. This module knows nothing about the work.
"""

import multiprocessing
from multiprocessing.context import ForkServerContext

PRELOADED_MODULES = [
    "app.workers.decoder_pool",
    "app.core.audio.readers.ffmpeg",
    "app.summarize.structured.schema_tasks",
]


def worker_context() -> ForkServerContext:
    """Return the context that starts workers, in milliseconds and, unlike fork, from a process without an engine."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED_MODULES)
    return context
