"""What holds for every test: a state folder of the run's own, how pytest-xdist shares the tests among its workers, and
garbage collection that leaves out what was imported and collected.

Workers get whole files, the longest first. There is one worker more than there are cores, because many tests wait. But
of the files that compute without a pause only as many run at once as there are cores: the others would only make them
slow, and the tests that wait would come last, when nothing is left that computes beside them.
"""

import gc
import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

CORES = len(os.sched_getaffinity(0))
MOST_WORKERS = 8  # a worker has up to 3 GB

# Files whose tests share one engine, which takes half a minute to start.
SHARED_ENGINE = ("tests/app/engine/test_engine_contract.py", "tests/app/engine/test_vllm.py")
# Tests that compute without a pause, the longest first. They begin, so that at the end no worker has one still to run.
COMPUTING = (
    "tests/test_end_to_end.py",
    *SHARED_ENGINE,
    "tests/training/runtime",
    "tests/training",
    "tests/model_repo",
    "tests/checks",
    "tests/benchmarks",
)
# Files of many seconds that mostly wait. They are the first among the others.
WAITING = (
    "tests/docs/test_blocks.py",
    "tests/app/ray_serve",
    "tests/app/batch",
    "tests/deploy",
    "tests/tools",
    "tests/clients",
    "tests/docs",
    "tests/app/cli",
)
RANKS = {start: rank for rank, start in enumerate((*COMPUTING, *WAITING))}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep garbage collection from looking at what all tests have in common, millions of objects, time and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that take long first."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    return next((rank for start, rank in RANKS.items() if item.nodeid.startswith(start)), len(RANKS))


def pytest_xdist_auto_num_workers() -> int:
    """The number of workers with `-n auto`."""
    return min(CORES + 1, MOST_WORKERS)


class FileScheduling(LoadScopeScheduling):
    """Gives whole files to workers, as `--dist loadfile` does, in their order; those that share an engine together.

    `--dist loadgroup`, which is meant for that, groups nothing: pytest-xdist 3.8 with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return SHARED_ENGINE[0] if file in SHARED_ENGINE else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Give the worker the next file, or the next that waits while all cores have one that computes."""
        others = [work for worker, work in self.assigned_work.items() if worker is not node]
        if sum(map(self._computes, others)) >= CORES:
            waiting = next((file for file in self.workqueue if not file.startswith(COMPUTING)), None)
            if waiting is not None:
                self.workqueue.move_to_end(waiting, last=False)
        super()._assign_work_unit(node)

    def _computes(self, work: dict[str, dict[str, bool]]) -> bool:
        """Whether a worker has a test left of a file that computes."""
        return any(file.startswith(COMPUTING) and not all(tests.values()) for file, tests in work.items())


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling | None:
    """Replace `--dist loadfile`; leave the other ways of distribution as they are."""
    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Services that a test starts in a process of their own keep their database in a folder of this run.

    Nothing asks a model hub: that costs seconds on a machine that reaches none.
    """
    patch = pytest.MonkeyPatch()
    patch.setenv("SPEECHSUM_HUB", "false")
    patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    yield
    patch.undo()
