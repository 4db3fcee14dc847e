"""Work that does not end well, for processes that import nothing else."""

import os
import time
from typing import Any


def never_ends(*_: Any, **__: Any) -> Any:
    """Sleep for an hour."""
    time.sleep(3600)


def dies(*_: Any, **__: Any) -> Any:
    """Take the process along."""
    os._exit(3)


def fails(*_: Any, **__: Any) -> Any:
    """Raise what nobody foresaw."""
    raise RecursionError("too deep")
