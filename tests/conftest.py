"""What holds for every test: nothing is read from, or written to, the state folder of the person who runs them; and how
pytest-xdist shares the tests out among its workers.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests that need minutes of one worker. They are begun first, so that no worker is left with one of them at the end.
LONGEST = (
    "tests/training/families",
    "tests/training/runtime",
    "tests/app/engine",
    "tests/test_end_to_end.py",
    "tests/training",
    "tests/model_repo",
)


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file on one worker (`--dist loadgroup`), where they share its fixtures, unless a mark names
    another group; order the groups.
    """
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name}/{item.path.stem}"))
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    path = item.path.relative_to(Path(__file__).parents[1]).as_posix()
    return next((rank for rank, start in enumerate(LONGEST) if path.startswith(start)), len(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Services that a test starts in a process of their own keep their database in a folder of this run."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    yield
    patch.undo()
