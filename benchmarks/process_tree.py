"""CPU time and peak memory of a process and of all that it has started. Knows nothing about what they do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

SAMPLE_INTERVAL_S = 0.2


@dataclass
class PeakMemory:
    """The largest unique set size (USS) of all processes together that was seen, in bytes."""

    size: int = 0


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process and its descendants have taken, those that have ended included."""
    total = 0.0
    for process in _processes(pid):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


@contextmanager
def measure_peak_memory(pid: int) -> Iterator[PeakMemory]:
    """Look at the memory of a process and its descendants, several times a second, until the block ends."""
    peak, ended = PeakMemory(), threading.Event()

    def sample() -> None:
        while True:
            size = 0
            for process in _processes(pid):
                with suppress(psutil.NoSuchProcess):
                    size += process.memory_full_info().uss
            peak.size = max(peak.size, size)
            if ended.wait(SAMPLE_INTERVAL_S):
                return

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield peak
    finally:
        ended.set()
        sampler.join()


def _processes(pid: int) -> list[psutil.Process]:
    try:
        main = psutil.Process(pid)
        return [main, *main.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
