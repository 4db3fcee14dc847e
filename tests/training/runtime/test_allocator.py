import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from training.recipes.callbacks import ReleaseMemoryCallback
from training.runtime import allocator

MEASURE = """
import json, resource, torch
from training.runtime import allocator
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def held():
    return int(open("/proc/self/statm").read().split()[1]) // 256  # MiB
def work():
    return [torch.ones(8 << 20) for _ in range(4)]
def faults_of_five():
    for _ in range(4):
        work()
    before = faults()
    for _ in range(5):
        work()
    return faults() - before
plain = faults_of_five()
assert allocator.keep_freed_memory()
kept, before = faults_of_five(), held()
allocator.release_free_memory()
print(json.dumps([plain, kept, before - held()]))
"""


def test_pages_that_were_freed_are_used_again_until_they_are_given_back() -> None:
    """Page faults when 128 MiB are allocated and freed the fifth to the ninth time, and MiB given back in the end."""
    code = [sys.executable, "-c", MEASURE]
    plain, kept, given = json.loads(subprocess.run(code, capture_output=True, text=True, check=True).stdout)
    assert kept < 0.1 * plain
    assert given > 100


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("musl", "1.2"))
    assert not allocator.keep_freed_memory()
    allocator.release_free_memory()


@pytest.mark.parametrize(("available", "given"), [(13, 0), (11, 1)])
def test_after_a_step_it_is_given_back_where_the_machine_runs_short(
    available: int, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    back: list[bool] = []
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=24, available=available))
    monkeypatch.setattr(allocator, "release_free_memory", lambda: back.append(True))
    ReleaseMemoryCallback().on_step_end(None, None, None)
    assert len(back) == given
