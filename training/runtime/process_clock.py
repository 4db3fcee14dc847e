"""How long this process has run, its imports and all: by which a command keeps within the time it is given."""

import time

import psutil

_STARTED_AT = psutil.Process().create_time()


def seconds_since_process_start() -> float:
    """Seconds since the process began."""
    return time.time() - _STARTED_AT
