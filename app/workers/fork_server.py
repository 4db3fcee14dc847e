"""The fork server that all worker processes come from.

multiprocessing has one fork server per process, and the modules that it preloads are fixed when it starts. So this
module lists those of every kind of worker. If each kind listed its own, those of the kind that starts second would be
imported again in every worker, partly under the worker's memory limit.

multiprocessing would also import the program's main module in every worker. Workers run functions of this package and
need none of it, and where vLLM's server is the program (`app.vllm_plugin`) it takes half a minute and gigabytes. This
module knows nothing about the work.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import context, popen_forkserver
from multiprocessing.process import BaseProcess

PRELOADED_MODULES = [
    "app.workers.decoder_pool",
    "app.core.audio.readers.ffmpeg",
    "app.summarize.structured.schema_tasks",
]
_main_module_lock = threading.Lock()


class ProcessWithoutMain(context.ForkServerProcess):
    """A worker that does not import the program's main module."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> popen_forkserver.Popen:
        with _hide_main_module():
            return context.ForkServerProcess._Popen(process_obj)


class WorkerContext(context.ForkServerContext):
    """multiprocessing's context "forkserver", with workers that do not import the program's main module."""

    Process = ProcessWithoutMain


def worker_context() -> WorkerContext:
    """Return the context that starts workers, in milliseconds and, unlike fork, from a process without an engine."""
    found = WorkerContext()
    found.set_forkserver_preload(PRELOADED_MODULES)
    return found


@contextmanager
def _hide_main_module() -> Iterator[None]:
    """Take from the main module what tells multiprocessing where it is (`get_preparation_data` in its `spawn.py`)."""
    with _main_module_lock:
        names = vars(sys.modules["__main__"])
        place: dict[str, object] = {name: names[name] for name in ("__spec__", "__file__") if name in names}
        try:
            names |= {name: None for name in place}
            yield
        finally:
            names |= place
