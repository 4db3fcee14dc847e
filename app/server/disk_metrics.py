"""The Prometheus metrics of the disks that the service writes to. Knows nothing about what it writes."""

import shutil
import tempfile
from functools import partial
from pathlib import Path

from prometheus_client import Gauge

from app.settings import Settings

DISK_FREE = Gauge("speechsum_disk_free_bytes", "Bytes that can still be written, by what is kept there.", ["place"])
DISK_SIZE = Gauge("speechsum_disk_size_bytes", "Size of the file system, by what is kept there.", ["place"])


def watch_disks(settings: Settings) -> None:
    """Give the free space whenever the metrics are asked for: of the folder of jobs, of the temporary folder, which
    holds the recordings of requests, and of the cache of checkpoints.
    """
    places = {"jobs": settings.jobs.folder, "temporary": Path(tempfile.gettempdir()), "cache": settings.cache_dir}
    for place, folder in places.items():
        DISK_FREE.labels(place).set_function(partial(_disk_bytes, folder, "free"))
        DISK_SIZE.labels(place).set_function(partial(_disk_bytes, folder, "total"))


def _disk_bytes(folder: Path, what: str) -> float:
    """Return the free or total bytes of the file system that a folder is on, or will be on; NaN if that is unknown."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return float(getattr(shutil.disk_usage(folder), what))
    except OSError:
        return float("nan")
