"""Reads a system out of an earlier result of `evaluate --system … --out RESULT`.

Apart from `training.eval.systems`, so that a comparison of two results does not import what answers records, which
takes seconds.
"""

import json
from pathlib import Path
from typing import Any


class UnknownSystem(ValueError):
    """A system is unknown or cannot be used. The message says which and why."""


def read_earlier_system(where: str) -> dict[str, Any]:
    """Return the `kind`, `figures` and `rows` of RESULT#SYSTEM, a system in a result of `evaluate --system … --out
    RESULT`. Raises UnknownSystem if there is no such result or system.
    """
    file, _, system = where.partition("#")
    try:
        result = json.loads(Path(file).read_text())
        system_result: dict[str, Any] | None = next((one for one in result["systems"] if one["system"] == system), None)
    except (OSError, ValueError, KeyError) as error:
        raise UnknownSystem(f"{file} is not a result of `evaluate --system`: {error!r}") from None
    if system_result is None:
        raise UnknownSystem(f"{file} has no system {system!r}; it has {[one['system'] for one in result['systems']]}")
    return system_result
