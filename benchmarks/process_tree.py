"""CPU time and peak memory of a process and of all that it has started. Knows nothing about what they do. The checks of
memory in `tests/checks` measure with it, too.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

SAMPLE_INTERVAL_S = 0.1


@dataclass
class PeakMemory:
    """The largest unique set sizes (USS) that were seen, in bytes: of all processes together, and of the first one."""

    tree_bytes: int = 0
    main_process_bytes: int = 0


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process and its descendants have taken, those that have ended included."""
    total = 0.0
    for process in list_processes(pid):
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
            sizes: list[int] = []
            for process in list_processes(pid):
                with suppress(psutil.NoSuchProcess):
                    sizes.append(process.memory_full_info().uss)
            if sizes:
                peak.tree_bytes = max(peak.tree_bytes, sum(sizes))
                peak.main_process_bytes = max(peak.main_process_bytes, sizes[0])
            if ended.wait(SAMPLE_INTERVAL_S):
                return

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield peak
    finally:
        ended.set()
        sampler.join()


def list_processes(pid: int) -> list[psutil.Process]:
    """Return a process, then all that it has started; none if it has ended."""
    try:
        main = psutil.Process(pid)
        return [main, *main.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
