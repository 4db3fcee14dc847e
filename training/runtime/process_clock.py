"""How long this process has run, its imports and all: by which a command keeps within the time it is given."""

import time

import psutil

_BEGAN = psutil.Process().create_time()


def since_start() -> float:
    """Seconds since the process began."""
    return time.time() - _BEGAN
