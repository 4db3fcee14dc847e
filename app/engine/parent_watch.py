"""Ends vLLM's engine process when the service's process is gone, however it went.

vLLM's core is a process of its own and outlives a service that was killed (`kill -9`, out of memory), holding its
memory for good. vLLM imports the class named by `worker_extension_cls` inside that process, by its path; importing
this module starts the watch.
"""

import multiprocessing
import os
import threading


class ParentWatch:
    """Adds nothing to vLLM's worker; naming it is what imports this module there."""


def _start_parent_watch() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:  # the service's own process
        return

    def exit_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=exit_with_parent, name="end-with-service", daemon=True).start()


_start_parent_watch()
