"""Three things that hold for every test: a state folder of the run's own, the order in which pytest-xdist gives the
tests to its workers, and garbage collection that leaves out what was imported and collected.
"""

import gc
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Tests that take minutes. They run first, so that at the end no worker still has one of them to run.
LONGEST = (
    "tests/training/families",
    "tests/training/runtime",
    "tests/app/engine",
    "tests/test_end_to_end.py",
    "tests/training",
    "tests/model_repo",
)

# Files whose tests share one engine, which takes half a minute to start.
SHARED_ENGINE = ("tests/app/engine/test_engine_contract.py", "tests/app/engine/test_vllm.py")


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
    """Put the tests that take minutes first."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    return next((rank for rank, start in enumerate(LONGEST) if item.nodeid.startswith(start)), len(LONGEST))


class FileScheduling(LoadScopeScheduling):
    """Gives whole files to workers, as `--dist loadfile` does, in their order; those that share an engine together.

    `--dist loadgroup`, which is meant for that, groups nothing: pytest-xdist 3.8 with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "shared engine" if file in SHARED_ENGINE else file


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
