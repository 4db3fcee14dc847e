"""Imports Ray, which only the extra `ray` of this project installs."""

from importlib import import_module
from types import ModuleType


class RayMissing(Exception):
    """Ray is not installed. The message says how to install it."""


def import_ray() -> ModuleType:
    """Return the module `ray`, with Ray Data. Raises RayMissing if it is not installed."""
    try:
        ray = import_module("ray")
        import_module("ray.data")
    except ImportError as error:
        raise RayMissing(
            f'Ray, which spreads the work over machines, is not installed ({error}). `pip install ".[ray]"` '
            "in the folder of the repository installs it. It must be installed on every machine of the cluster."
        ) from error
    return ray
