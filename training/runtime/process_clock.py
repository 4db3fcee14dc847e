"""The time since this process began, imports included, by which a command keeps within the minutes that it is given."""

import time

import psutil

_STARTED_AT = psutil.Process().create_time()


def seconds_since_process_start() -> float:
    """Return the seconds since the process began."""
    return time.time() - _STARTED_AT
