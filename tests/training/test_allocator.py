import subprocess
import sys

import pytest

from training import allocator

FAULTS = """
import resource, torch
from training import allocator
if {keeps}:
    assert allocator.keep()
def work():
    return [torch.ones(8 << 20) for _ in range(4)]
for _ in range(4):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keeps: bool) -> int:
    """Page faults of the fifth to the ninth time that 128 MiB are allocated and freed."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(keeps=keeps)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_pages_that_were_freed_are_used_again() -> None:
    assert faults(keeps=True) < 0.1 * faults(keeps=False)


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("musl", "1.2"))
    assert not allocator.keep()
