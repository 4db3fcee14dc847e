"""For rehearsals: hides every installed package that the GPU machine would not have, in every Python process started
with this folder on PYTHONPATH. What is missing from the lists beside it then fails here instead of there.
"""

import importlib.machinery
import importlib.metadata
import re
import sys
from pathlib import Path
from typing import Any

_LISTS = ("packages-speech.txt", "packages.txt", "packages-there.txt")


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def allowed_distributions() -> set[str]:
    """Distributions that are there or are brought there, by their normalized names."""
    lines = [line for name in _LISTS for line in (Path(__file__).parent.parent / name).read_text().splitlines()]
    return {_plain(line) for line in lines if line and not line.startswith("#")}


def hidden_modules() -> set[str]:
    """Importable names that only distributions outside the lists provide; this project's own are not among them."""
    known = allowed_distributions() | {"speechsum"}
    owners = importlib.metadata.packages_distributions()
    return {module for module, dists in owners.items() if not any(_plain(dist) in known for dist in dists)}


class GuardedFinder(importlib.machinery.PathFinder):
    """Finds what `PathFinder` finds, but for the hidden names."""

    names = frozenset(hidden_modules())

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname.partition(".")[0] in cls.names:
            return None
        return super().find_spec(fullname, path, target)


sys.meta_path[:] = [GuardedFinder if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
