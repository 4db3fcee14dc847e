"""How the tests are shared among the workers (tests/conftest.py)."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests import conftest
from tests.conftest import COMPUTING, SHARED_ENGINE, FileScheduling

FILES = [
    "tests/test_end_to_end.py",
    *SHARED_ENGINE,
    "tests/training/recipes/test_sft.py",
    "tests/training/recipes/test_dpo.py",
    *(f"tests/app/api/test_{name}.py" for name in "abcdef"),
]
TESTS = [f"{file}::test_{number}" for file in FILES for number in range(5)]


class Worker:
    """Stands in for a process of pytest-xdist: it takes tests and runs one when it is told to."""

    shutting_down = False

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.waiting: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.waiting += indices

    def shutdown(self) -> None:
        self.shutting_down = True


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[Worker]:
    monkeypatch.setattr(conftest, "CORES", 2)
    return [Worker(f"gw{number}") for number in range(3)]


def run(workers: list[Any]) -> Iterator[dict[str, str]]:
    """Run all tests, one of each worker at a time; yield by worker the test that it runs."""
    config: Any = SimpleNamespace(
        getvalue=lambda _: ["popen"] * len(workers), option=SimpleNamespace(loadscopereorder=False)
    )
    scheduling = FileScheduling(config)
    for worker in workers:
        scheduling.add_node(worker)
        scheduling.add_node_collection(worker, TESTS)
    scheduling.schedule()
    while busy := [worker for worker in workers if worker.waiting]:
        yield {worker.gateway.id: TESTS[worker.waiting[0]] for worker in busy}
        for worker in busy:
            scheduling.mark_test_complete(worker, worker.waiting.pop(0))


def test_every_test_runs_once_and_a_file_in_one_worker(workers: list[Worker]) -> None:
    ran = [pair for at_once in run(workers) for pair in at_once.items()]
    assert sorted(test for _, test in ran) == sorted(TESTS)
    of_file = {(test.split("::")[0], worker) for worker, test in ran}
    assert len(of_file) == len(FILES)
    assert len({worker for file, worker in of_file if file in SHARED_ENGINE}) == 1, "they share an engine"


def test_no_more_files_compute_than_there_are_cores_while_others_wait(workers: list[Worker]) -> None:
    computing = [sum(test.startswith(COMPUTING) for test in at_once.values()) for at_once in run(workers)]
    assert max(computing) == 2
    assert computing[0] == 2, "those that compute begin"
