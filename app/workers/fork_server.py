"""Where worker processes come from: one fork server for all of them.

multiprocessing has a single fork server in a process, and what that one imports ahead is settled when it starts. So
every kind of worker is named here: if each named its own modules, those of the kind that starts second would be
imported anew in every worker, some of it under the worker's memory limit. Knows nothing about the work.
"""

import multiprocessing
from multiprocessing.context import ForkServerContext

PRELOADED_MODULES = [
    "app.workers.decoder_pool",
    "app.core.audio.readers.ffmpeg",
    "app.summarize.structured.schema_tasks",
]


def worker_context() -> ForkServerContext:
    """Return the context that starts workers: in milliseconds and, unlike fork, from a process without an engine."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED_MODULES)
    return context
