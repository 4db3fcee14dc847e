"""Ends vLLM's engine process when the service's process is gone.

vLLM's engine core is a process of its own. If the service is killed (`kill -9`, out of memory), the engine process
lives on and keeps its memory for good. vLLM imports the class that `worker_extension_cls` names inside the engine
process, and importing this module starts the watch. Knows nothing about models.
"""

import multiprocessing
import os
import threading


class ParentWatch:
    """Adds nothing to vLLM's worker. Its only purpose is that vLLM imports this module."""


def _start_parent_watch() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:  # the service's own process
        return

    def exit_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=exit_with_parent, name="end-with-service", daemon=True).start()


_start_parent_watch()
