"""Memory and open files of a service over time, and whether they grow."""

from contextlib import suppress
from dataclasses import dataclass

import psutil

# What a service may gain between the first and the last third of its longest life without being called growing.
# Decoders come and go, and the allocator returns memory late.
MAX_MEMORY_GROWTH_BYTES = 96 << 20
MAX_FILES_GROWTH = 40
WARM_UP_SECONDS = 20.0
MIN_SAMPLES = 9


@dataclass(frozen=True)
class Sample:
    """What a service held at a moment, with its decoders and its engine's core. life: counts its restarts."""

    at_s: float
    life: int
    memory_bytes: int
    files: int
    processes: int


@dataclass(frozen=True)
class Trend:
    """How a service's holdings changed over its longest life. Slopes are per minute, growths from third to third."""

    seconds: float
    samples: int
    memory_slope_bytes: float
    memory_growth_bytes: float
    files_slope: float
    files_growth: float
    memory_first_bytes: float
    memory_last_bytes: float


def measure(process: psutil.Process, at_s: float, life: int) -> Sample | None:
    """Return what the process and its children hold now; None if it is gone."""
    memory = files = processes = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return None
    for one in family:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            memory += one.memory_full_info().uss
            files += one.num_fds()
            processes += 1
    return Sample(at_s, life, memory, files, processes)


def longest_life(samples: list[Sample]) -> list[Sample]:
    """Return the samples of the life that lasted longest, without its first seconds."""
    lives = {sample.life: [one for one in samples if one.life == sample.life] for sample in samples}
    longest = max(lives.values(), key=lambda life: life[-1].at_s - life[0].at_s, default=[])
    return [one for one in longest if one.at_s >= longest[0].at_s + WARM_UP_SECONDS]


def find_trend(samples: list[Sample]) -> Trend | None:
    """Return the trend of the longest life; None if it has too few samples to tell."""
    life = longest_life(samples)
    if len(life) < MIN_SAMPLES:
        return None
    memory, files = [float(one.memory_bytes) for one in life], [float(one.files) for one in life]
    minutes = [one.at_s / 60 for one in life]
    third = len(life) // 3
    first, last = _median(memory[:third]), _median(memory[-third:])
    return Trend(
        seconds=life[-1].at_s - life[0].at_s,
        samples=len(life),
        memory_slope_bytes=_slope(minutes, memory),
        memory_growth_bytes=last - first,
        files_slope=_slope(minutes, files),
        files_growth=_median(files[-third:]) - _median(files[:third]),
        memory_first_bytes=first,
        memory_last_bytes=last,
    )


def find_growth(trend: Trend | None) -> list[str]:
    """Return a sentence for what grew."""
    faults = []
    if trend and trend.memory_growth_bytes > MAX_MEMORY_GROWTH_BYTES:
        faults.append(f"The memory grew by {trend.memory_growth_bytes / 2**20:.0f} MiB in {trend.seconds:.0f} s.")
    if trend and trend.files_growth > MAX_FILES_GROWTH:
        faults.append(f"{trend.files_growth:.0f} more files were open after {trend.seconds:.0f} s.")
    return faults


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _slope(x: list[float], y: list[float]) -> float:
    """Return the slope of the least-squares line."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((one - mean_x) ** 2 for one in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread if spread else 0.0
