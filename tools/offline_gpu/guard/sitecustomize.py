"""Hide every installed package that the GPU machine does not have, in every Python process that is started with this
folder on PYTHONPATH.

This is for rehearsals: an import of a package that is missing from the lists `packages*.txt` fails here and not there.
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
    """Return the normalized names of the distributions that the machine has, or that are packed for it."""
    lines = [line for name in _LISTS for line in (Path(__file__).parent.parent / name).read_text().splitlines()]
    return {_plain(line) for line in lines if line and not line.startswith("#")}


def hidden_modules() -> set[str]:
    """Return the names of modules that only distributions outside the lists provide, without this project's own."""
    known = allowed_distributions() | {"speechsum"}
    owners = importlib.metadata.packages_distributions()
    return {module for module, dists in owners.items() if not any(_plain(dist) in known for dist in dists)}


class GuardedFinder(importlib.machinery.PathFinder):
    """Finds what `PathFinder` finds, except for the hidden modules."""

    names = frozenset(hidden_modules())

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname.partition(".")[0] in cls.names:
            return None
        return super().find_spec(fullname, path, target)


sys.meta_path[:] = [GuardedFinder if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
